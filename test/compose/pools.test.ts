import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { openPools, type Pools } from '../../src/compose/pools.ts';
import type { ServedPool } from '../../src/compose/served-pool.ts';
import type { Pool } from '../../src/store/pool/pool-store.ts';

/** Which pools a process has open: as the database says, and as they can be opened. */

const NOBODY = pino({ enabled: false });
const TENANT = 'tenant of main';

function poolOf(name: string, more: Partial<Pool> = {}): Pool {
  return {
    id: `id of ${name}`,
    name,
    tenantId: TENANT,
    isHome: false,
    softDeleteDays: 90,
    purgeProtection: false,
    rootGeneration: 1,
    rootCheck: new Uint8Array(32),
    keeping: 'sealed',
    activation: 'hsm',
    restores: 0,
    ...more,
  };
}

const MAIN = poolOf('main', { isHome: true });

/** As far as it matters which pools are open. */
function servedOf(pool: Pool, onClose: () => void): ServedPool {
  const part = {
    pool,
    endStreams: () => undefined,
    close: () => {
      onClose();
      return Promise.resolve();
    },
  };
  return part as unknown as ServedPool;
}

function start(rows: Pool[], { opensAtStart = false } = {}) {
  const state = {
    rows,
    now: 0,
    away: new Set<string>(),
    opened: [] as string[],
    closed: [] as string[],
  };
  const pools = openPools(
    servedOf(MAIN, () => undefined),
    {
      list: () => Promise.resolve([MAIN, ...state.rows]),
      open: async (pool, home) => {
        await nextTurn();
        if (state.away.has(pool.name)) throw new Error('its HSM is away');
        state.opened.push(home === undefined ? pool.name : `${pool.name} by ${home.pool.name}`);
        return servedOf(pool, () => state.closed.push(pool.name));
      },
      opensAtStart,
      steadyMs: () => state.now,
      log: NOBODY,
    },
  );
  open.push(pools);
  return { state, pools };
}

const open: Pools[] = [];

afterEach(async () => {
  for (const pools of open.splice(0)) await pools.close();
});

test('the default pool is there at once, and is never opened again', () => {
  const { pools, state } = start([]);
  expect(pools.find('main')).toMatchObject({ pool: MAIN });
  expect(state.opened).toEqual([]);
});

test('another one is opened once, for however many that wait for it', async () => {
  const { pools, state } = start([poolOf('a')]);
  const found = await Promise.all([pools.find('a'), pools.find('a'), pools.find('a')]);
  expect(found.map((served) => served?.pool.name)).toEqual(['a', 'a', 'a']);
  expect(state.opened).toEqual(['a by main']);
  // At once, from then on.
  expect(pools.find('a')).not.toBeInstanceOf(Promise);
});

test('one of another tenant is opened after the one that keeps its directory', async () => {
  const { pools, state } = start([
    poolOf('b', { tenantId: 'another' }),
    poolOf('home', { tenantId: 'another', isHome: true }),
  ]);
  const served = await pools.find('b');
  expect(state.opened).toEqual(['home', 'b by home']);
  expect(served && pools.homeOf(served)?.pool.name).toBe('home');
  expect(pools.besides(MAIN).share('b')).toBe(false);
});

test('one whose directory is not here is not opened', async () => {
  const { pools, state } = start([poolOf('b', { tenantId: 'nobody' })]);
  expect(await pools.find('b')).toBeUndefined();
  expect(state.opened).toEqual([]);
});

test('one that cannot be opened is refused at once until it is tried again', async () => {
  const { pools, state } = start([poolOf('a'), poolOf('b')]);
  state.away.add('a');
  expect(await pools.find('a')).toBeUndefined();
  expect(pools.find('a')).toBeUndefined();
  expect(pools.besides(MAIN).refuse('a').code).toBe('HsmUnavailable');
  expect((await pools.find('b'))?.pool.name).toBe('b');
  state.away.clear();
  state.now += 2_100;
  expect((await pools.find('a'))?.pool.name).toBe('a');
});

test('a name that nobody has is looked for a few times a second, and refused as if it had never been', async () => {
  const { pools, state } = start([]);
  expect(await pools.find('later')).toBeUndefined();
  state.rows = [poolOf('later')];
  // Whoever asks for one name after the other doesn't have the database asked each time.
  expect(await pools.find('later')).toBeUndefined();
  expect(pools.besides(MAIN).refuse('later').code).toBe('PoolNotFound');
  state.now += 300;
  expect((await pools.find('later'))?.pool.name).toBe('later');
});

test.each([
  ['deleted', { deletedAt: new Date() }],
  ['restored', { restores: 1 }],
  ['another one of its name', { id: 'another' }],
])('one that was %s is left', async (what, change) => {
  const { pools, state } = start([poolOf('a')]);
  await pools.find('a');
  state.rows = [poolOf('a', change)];
  pools.lookAgain();
  await nextTurn();
  const found = await pools.find('a');
  // It is deleted, or opened anew.
  expect(found?.pool).toEqual(what === 'deleted' ? undefined : state.rows[0]);
  expect(state.opened.length).toBe(what === 'deleted' ? 1 : 2);
  await pools.close();
  expect(state.closed.length).toBe(state.opened.length);
});

test('those that go by a directory are left with the pool that keeps it, and go by the one in its place', async () => {
  const tenantId = 'another';
  const home = poolOf('home', { tenantId, isHome: true });
  const { pools, state } = start([home, poolOf('b', { tenantId }), poolOf('a')]);
  await Promise.all([pools.find('b'), pools.find('a')]);
  state.rows = [{ ...home, restores: 1 }, poolOf('b', { tenantId }), poolOf('a')];
  pools.lookAgain();
  await nextTurn();
  const served = await pools.find('b');
  expect(served && pools.homeOf(served)?.pool.restores).toBe(1);
  expect(state.opened.toSorted()).toEqual(['a by main', 'b by home', 'b by home', 'home', 'home']);
});

test('where they are opened at the start, nobody has to ask', async () => {
  const { state } = start([poolOf('a'), poolOf('b')], { opensAtStart: true });
  const deadline = Date.now() + 10_000;
  while (state.opened.length < 2 && Date.now() < deadline) await nextTurn();
  expect(state.opened).toEqual(['a by main', 'b by main']);
});
