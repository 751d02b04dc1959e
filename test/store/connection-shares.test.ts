import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ConnectionShares, shareConnections } from '../../src/store/connection-shares.ts';
import { runPrepared } from '../../src/store/prepared-query.ts';
import {
  type Db,
  openConnections,
  openStoreDatabase,
  type StoreDatabase,
} from '../support/store.ts';
import { until } from '../support/until.ts';

/** Pools of one process, and the connections that they share. */

const CONNECTIONS = 4;
let database: StoreDatabase;
let db: Db;

beforeAll(async () => {
  database = await openStoreDatabase();
  db = openConnections(database.serviceUrl, CONNECTIONS);
});

afterAll(async () => {
  await db.destroy();
  await database.close();
});

const open = (more: { waiting?: number; waitMs?: number } = {}): ConnectionShares =>
  shareConnections(db, { connections: CONNECTIONS, waiting: 100, waitMs: 10_000, ...more });

/** A statement that ends when it is told to: a lock that this test holds. */
async function hold(key: number) {
  const held = await database.otherDb.startTransaction().execute();
  await sql`select pg_advisory_xact_lock(${key})`.execute(held);
  return {
    wait: (of: Db) => sql`select pg_advisory_xact_lock_shared(${key})`.execute(of),
    end: () => held.rollback().execute(),
  };
}

/** Sessions that wait for a lock. */
async function waiting(): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::integer as count from pg_locks
    where not granted and locktype = 'advisory'
      and database = (select oid from pg_database where datname = current_database())`.execute(
    database.otherDb,
  );
  return rows[0]?.count ?? 0;
}

describe('a pool among others', () => {
  test('never holds all connections, whatever it has waiting', async () => {
    const shares = open();
    const [greedy, modest] = [shares.of('greedy'), shares.of('modest')];
    const lock = await hold(1);
    const slow = Array.from({ length: 20 }, () => lock.wait(greedy));
    await until(async () => (await waiting()) === CONNECTIONS - 2);
    for (let asked = 0; asked < 10; asked += 1) {
      const { rows } = await sql<{ one: number }>`select 1 as one`.execute(modest);
      expect(rows).toEqual([{ one: 1 }]);
      expect(await runPrepared(modest, 'test_one', 'select 1 as one', [])).toEqual([{ one: 1 }]);
    }
    expect(await waiting()).toBe(CONNECTIONS - 2);
    await lock.end();
    await Promise.all(slow);
  });

  test('alone it may have them all', async () => {
    const shares = open();
    const alone = shares.of('alone');
    const lock = await hold(2);
    const slow = Array.from({ length: 20 }, () => lock.wait(alone));
    await until(async () => (await waiting()) === CONNECTIONS);
    await lock.end();
    expect((await Promise.all(slow)).length).toBe(20);
  });

  test('again, once the others are gone', async () => {
    const shares = open();
    shares.of('other');
    const staying = shares.of('staying');
    shares.leave('other');
    const lock = await hold(3);
    const slow = Array.from({ length: 4 }, () => lock.wait(staying));
    await until(async () => (await waiting()) === CONNECTIONS);
    await lock.end();
    expect((await Promise.all(slow)).length).toBe(4);
  });
});

test('what waits too long, and what comes when too much waits, is refused; the rest goes on', async () => {
  const shares = open({ waiting: 3, waitMs: 200 });
  const pool = shares.of('pool');
  const lock = await hold(4);
  const held = Array.from({ length: CONNECTIONS }, () => lock.wait(pool));
  await until(async () => (await waiting()) === CONNECTIONS);
  const late = await Promise.allSettled(Array.from({ length: 5 }, () => lock.wait(pool)));
  expect(late.map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => 'rejected'));
  for (const one of late)
    expect(one).toMatchObject({
      reason: expect.objectContaining({ code: 'StoreUnavailable' }) as unknown,
    });
  await lock.end();
  await Promise.all(held);
  await sql`select 1`.execute(pool);
});

test('a transaction that fails gives its connection back, and so does one that cannot be had', async () => {
  const shares = open();
  const pool = shares.of('pool');
  for (let times = 0; times < 2 * CONNECTIONS; times += 1)
    await expect(
      pool.transaction().execute((trx) => sql`select 1 / 0`.execute(trx)),
    ).rejects.toThrow('division by zero');
  await sql`select 1`.execute(pool);
});
