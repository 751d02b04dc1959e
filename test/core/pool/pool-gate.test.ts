import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { ACTIONS, action } from '../../../src/core/access/actions.ts';
import { createPoolGate, type PoolState, requireServed } from '../../../src/core/pool/pool-gate.ts';
import { FakeChangeFeed } from '../../support/fakes/change-feed.ts';

const OPEN = { isActive: true, isRestoring: false, isDeleted: false };
const USES = ACTIONS.filter((name) => /managedHsm\/(?:keys|rng)\//.test(name));

function openGate(state: PoolState = OPEN) {
  const feed = new FakeChangeFeed();
  const pool = { state, reads: 0 };
  const gate = createPoolGate(feed, () => {
    pool.reads += 1;
    return nextTurn(pool.state);
  });
  return { gate, feed, pool };
}

describe('what is remembered of a pool', () => {
  test('is that it is open, once it has been read', async () => {
    const { gate, pool } = openGate();
    expect(gate.isOpenTo(undefined)).toBe(false);
    await gate.read();
    expect([gate.isOpenTo(undefined), gate.isOpenTo('192.0.2.1'), pool.reads]).toEqual([
      true,
      true,
      1,
    ]);
  });

  test.each([
    ['not active', { ...OPEN, isActive: false }],
    ['being restored', { ...OPEN, isRestoring: true }],
    ['deleted', { ...OPEN, isDeleted: true }],
  ])('is not that it is %s: that is read anew each time', async (_what, state) => {
    const { gate, pool } = openGate(state);
    await gate.read();
    expect(gate.isOpenTo(undefined)).toBe(false);
    pool.state = OPEN;
    await gate.read();
    expect(gate.isOpenTo(undefined)).toBe(true);
  });

  test.each([{ topic: 'pool', id: '*' } as const, 'reset' as const])(
    'is forgotten at %p, and so is what was being read then',
    async (change) => {
      const { gate, feed, pool } = openGate();
      await gate.read();
      feed.publish({ topic: 'key', id: 'k' });
      expect(gate.isOpenTo(undefined)).toBe(true);
      const reading = gate.read();
      // The read has begun, and not ended.
      await Promise.resolve();
      feed.publish(change);
      expect(gate.isOpenTo(undefined)).toBe(false);
      await reading;
      expect(gate.isOpenTo(undefined)).toBe(false);
      await gate.read();
      expect([gate.isOpenTo(undefined), pool.reads]).toEqual([true, 3]);
    },
  );

  test('is not believed while the feed is cut off', async () => {
    const { gate, feed } = openGate();
    await gate.read();
    feed.coherent = false;
    expect(gate.isOpenTo(undefined)).toBe(false);
  });
});

describe('a pool that is not activated', () => {
  const { gate } = openGate({ ...OPEN, isActive: false });

  test.each(USES)('refuses %s, and says what to do', async (name) => {
    await expect(requireServed(gate, { action: name })).rejects.toMatchObject({
      code: 'PoolNotActivated',
      message: expect.stringContaining('security-domain download') as unknown,
    });
  });

  test('answers what says so, though it takes an action of keys', async () => {
    const request = { action: action('keys/read/action'), beforeActivation: true };
    await expect(requireServed(gate, request)).resolves.toBeUndefined();
  });

  test.each(ACTIONS.filter((name) => !USES.includes(name)))('allows %s', async (name) => {
    await expect(requireServed(gate, { action: name })).resolves.toBeUndefined();
  });
});

test('a pool that is being restored answers nothing but what says how far that is', async () => {
  const { gate } = openGate({ ...OPEN, isRestoring: true });
  for (const name of ACTIONS)
    await expect(requireServed(gate, { action: name })).rejects.toMatchObject({
      code: 'PoolRestoring',
    });
  await requireServed(gate, { action: action('restore/status/action'), whileRestoring: true });
});

describe('a pool with network rules', () => {
  const rules = { admits: (address: string) => address === '192.0.2.1' };

  test('serves whom they let in, refuses others, and reads them anew before it does', async () => {
    const { gate, pool } = openGate({ ...OPEN, ...rules });
    await gate.read();
    expect([gate.isOpenTo('192.0.2.1'), gate.isOpenTo('192.0.2.2')]).toEqual([true, false]);
    const request = { action: action('keys/read/action'), address: '192.0.2.2' };
    await expect(requireServed(gate, request)).rejects.toMatchObject({ code: 'AddressNotAllowed' });
    pool.state = OPEN;
    await expect(requireServed(gate, request)).resolves.toBeUndefined();
  });

  test('binds nothing that is not of the pool', async () => {
    const { gate } = openGate({ ...OPEN, ...rules });
    await gate.read();
    expect(gate.isOpenTo(undefined)).toBe(true);
  });
});
