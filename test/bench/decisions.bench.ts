import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createAuthorizer } from '../../src/authz/enforcer.ts';
import { action } from '../../src/core/access/actions.ts';
import type { Authorizer } from '../../src/core/access/ports.ts';
import { type OpenPoolFeed, openPoolFeed } from '../support/change-feed.ts';
import { findPool } from '../../src/store/pool/pool-store.ts';
import { createRoleStore } from '../../src/store/access/role-store.ts';
import { type ProductionService, startProduction } from '../support/production.ts';
import { type Db, openConnections, processOf, withClient } from '../support/store.ts';
import { ROLE } from '../support/roles.ts';

/**
 * What a decision costs where there are many assignments: `npm run bench:decisions` prints the time of one, cold (the
 * caller's policy is read) and warm (it is remembered), the memory that remembered callers take, and the throughput of
 * A256KW wrap through the whole service, at several numbers of assignments.
 */

const SIZES = [10, 1_000, 100_000];
const PRINCIPALS = 20_000;
const KEYS = 10_000;
const COLD = 400;
const WARM = 200_000;
/** As many callers as a process remembers by default. */
const REMEMBERED = 5_000;
const WRAP_MS = 1_500;
/** Few and many in turn: this kind of machine is now faster, now slower. */
const ROUNDS = 6;
const CALLS_AT_ONCE = 16;

let production: ProductionService;
let db: Db;
let poolId: string;
let feed: OpenPoolFeed;
beforeAll(async () => {
  production = await startProduction({ STRONGROOM_WORKERS: '1' }, { isMeasured: true });
  const { serviceUrl } = production.database;
  db = openConnections(serviceUrl);
  poolId = (await findPool(db, 'main'))?.id ?? '';
  feed = await openPoolFeed({ url: serviceUrl, poolId, onError: () => undefined });
  const made = await production.admin('POST', '/keys/wrapping/create', { kty: 'oct-HSM' });
  expect(made.status).toBe(200);
}, 60_000);
afterAll(async () => {
  await feed.close();
  await db.destroy();
  await production.stop();
});

const principal = (index: number) => `principal-${index % PRINCIPALS}`;
const scope = (index: number) =>
  `/keys/key-${(index + Math.floor(index / PRINCIPALS)) % KEYS}` as const;

/** Assignments of the role Crypto User, over all principals and keys evenly. */
async function growTo(size: number): Promise<void> {
  await withClient(production.database.serviceUrl, async (client) => {
    await client.query(
      `insert into role_assignment (pool_id, id, principal_id, role_id, scope)
       select $1, gen_random_uuid(), 'principal-' || i % $2, $3, '/keys/key-' || (i + i / $2) % $4
       from generate_series(0, $5::int - 1) i on conflict do nothing`,
      [poolId, PRINCIPALS, ROLE.user, KEYS, size],
    );
  });
  // The statistics that Postgres makes by itself in time.
  await withClient(production.database.ownerUrl, (client) =>
    client.query('analyze role_assignment'),
  );
}

function openAuthorizer(): Promise<Authorizer> {
  const policies = createRoleStore(processOf(db, { id: poolId }));
  return createAuthorizer({
    policies,
    feed,
    clock: { now: () => new Date() },
    callers: REMEMBERED,
    sharedPolicies: 100,
    decisions: 500,
    onError: (error) => {
      throw error;
    },
  });
}

const isAllowed = (authorizer: Authorizer, index: number) =>
  authorizer.isAllowed(
    { tenantId: 't', objectId: principal(index), groups: [] },
    action('keys/wrap/action'),
    scope(index),
  );

function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

async function measure(size: number) {
  const authorizer = await openAuthorizer();
  const cold: number[] = [];
  for (let index = 0; index < COLD; index += 1) {
    const started = performance.now();
    const allowed = await isAllowed(authorizer, index);
    cold.push((performance.now() - started) * 1000);
    expect(allowed).toBe(index < size);
  }
  const warm: number[] = [];
  for (let index = 0; index < WARM; index += 1) {
    const started = performance.now();
    await isAllowed(authorizer, index % COLD);
    warm.push((performance.now() - started) * 1000);
  }
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  for (let index = COLD; index < REMEMBERED; index += 1) await isAllowed(authorizer, index);
  collectGarbage();
  const bytes = (process.memoryUsage().heapUsed - before) / (REMEMBERED - COLD);
  cold.sort((a, b) => a - b);
  warm.sort((a, b) => a - b);
  return {
    assignments: size,
    'cold median us': Math.round(quantile(cold, 0.5)),
    'cold p99 us': Math.round(quantile(cold, 0.99)),
    'warm median us': Number(quantile(warm, 0.5).toFixed(2)),
    'warm p99 us': Number(quantile(warm, 0.99).toFixed(2)),
    'KB a caller': Math.round(bytes / 1024),
  };
}

/** A256KW wraps a second through the whole service. */
async function wraps(): Promise<number> {
  const body = { alg: 'A256KW', value: randomBytes(32).toString('base64url') };
  let done = 0;
  const end = performance.now() + WRAP_MS;
  await Promise.all(
    Array.from({ length: CALLS_AT_ONCE }, async () => {
      while (performance.now() < end) {
        const { status } = await production.admin('POST', '/keys/wrapping/wrapkey', body);
        if (status !== 200) throw new Error(`answered with ${status}`);
        done += 1;
      }
    }),
  );
  return (done * 1000) / WRAP_MS;
}

const collectGarbage = (() => {
  setFlagsFromString('--expose_gc');
  return runInNewContext('gc') as () => void;
})();

async function clear(): Promise<void> {
  await withClient(production.database.serviceUrl, (client) =>
    client.query(`delete from role_assignment where principal_id like 'principal-%'`),
  );
}

test('a decision, by the number of assignments', async () => {
  const rows: object[] = [];
  for (const size of SIZES) {
    await growTo(size);
    rows.push(await measure(size));
  }
  console.table(rows);
  const [few = 0, many = 0] = [SIZES[0], SIZES.at(-1)];
  await wraps();
  const ratios: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const withMany = await wraps();
    await clear();
    await growTo(few);
    const withFew = await wraps();
    await growTo(many);
    ratios.push((withMany + (await wraps())) / 2 / withFew);
  }
  ratios.sort((a, b) => a - b);
  expect(ratios).toHaveLength(ROUNDS);
  console.info(
    `A256KW wraps a second with ${many} assignments to those with ${few}, ${ROUNDS} rounds: ${ratios.map((ratio) => ratio.toFixed(2)).join(', ')}; median ${quantile(ratios, 0.5).toFixed(2)}`,
  );
}, 300_000);
