import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { parseKeyName } from '../../src/core/keys/key.ts';
import type { StateChange } from '../../src/core/caching/change-feed.ts';
import { createAuditWriter } from '../../src/store/audit/audit-store.ts';
import { openPoolFeed } from '../support/change-feed.ts';
import { changing, openDatabase } from '../../src/store/database.ts';
import { createKeyReader } from '../../src/store/keys/key-reader.ts';
import { createKeyWriter } from '../../src/store/keys/key-writer.ts';
import { readServers } from '../../src/store/servers.ts';
import { findPool } from '../../src/store/pool/pool-store.ts';
import { createRoleStore } from '../../src/store/access/role-store.ts';
import { openPostgresProxy, type PostgresProxy } from '../support/postgres-proxy.ts';
import {
  type Db,
  makePool,
  newChange,
  newVersion,
  openConnections,
  openStoreDatabase,
  processOf,
  withClient,
} from '../support/store.ts';
import { until as eventually } from '../support/until.ts';

const database = await openStoreDatabase();
const { serviceUrl } = database;
afterAll(() => database.close());

const name = parseKeyName('key');
const unavailable = { code: 'StoreUnavailable' };
let proxy: PostgresProxy;
let pool: { id: string };
let broken: Error[];
let db: Db;
beforeEach(async () => {
  proxy = await openPostgresProxy(serviceUrl);
  pool = await makePool(database.db);
  broken = [];
  db = openDatabase({
    url: proxy.url,
    connections: 2,
    onIdleError: (error) => broken.push(error),
  });
});
afterEach(async () => {
  await proxy.close();
  await db.destroy();
});

/** Ends the backends that are in the middle of something. */
const terminate = (state: string) =>
  withClient(serviceUrl, async (client) => {
    const { rowCount } = await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid()
         and application_name = 'strongroom' and state = $1`,
      [state],
    );
    return rowCount;
  });

/** Resolves with the milliseconds after which it was last seen not to be so: this process may have stood still since. */
async function until(isSo: () => boolean, limitMs: number): Promise<number> {
  const began = performance.now();
  for (let lastMs = 0; ;) {
    const askedMs = performance.now() - began;
    if (isSo()) return lastMs;
    if (askedMs > limitMs) throw new Error('it did not come about');
    lastMs = askedMs;
    await delay(5);
  }
}

describe('a backend that dies', () => {
  test('while a change is made costs that request only, and changes nothing', async () => {
    const context = processOf(db, pool);
    const keys = { ...createKeyReader(context), ...createKeyWriter(context) };
    await keys.insertVersion(newVersion(pool.id, name), newChange());
    const draft = newChange();
    const attempt = changing(context, draft, { topic: 'key', id: name }, async (trx) => {
      await trx.updateTable('key_version').set({ tags: '{"changed": "yes"}' }).execute();
      expect(await terminate('idle in transaction')).toBe(1);
      await until(() => broken.length > 0, 2_000);
      return true;
    });
    await expect(attempt).rejects.toMatchObject(unavailable);
    expect([broken.length > 0, draft.isCommitted]).toEqual([true, false]);
    await expect(keys.findKey(name)).resolves.toMatchObject({ tags: {} });
  });

  test('while a statement runs costs that request only', async () => {
    const keys = {
      ...createKeyReader(processOf(db, pool)),
      ...createKeyWriter(processOf(db, pool)),
    };
    await keys.insertVersion(newVersion(pool.id, name), newChange());
    await withClient(serviceUrl, async (holder) => {
      await holder.query('begin; select from key for update');
      const attempt = keys.deleteKey(name, 1, newChange()).catch((error: unknown) => error);
      await eventually(async () => (await terminate('active')) === 1);
      await expect(attempt).resolves.toMatchObject(unavailable);
    });
    await expect(keys.findKey(name)).resolves.toBeDefined();
  });
});

test('a grant that was taken away is published, though the answer to its COMMIT was lost', async () => {
  const published: (StateChange | 'reset')[] = [];
  const feed = await openPoolFeed({
    url: serviceUrl,
    poolId: pool.id,
    onError: () => undefined,
  });
  feed.subscribe((change) => published.push(change));
  const roles = createRoleStore({
    ...processOf(db, pool),
    publish: (change) => {
      feed.publish(change);
    },
  });
  const assignment = {
    id: randomUUID(),
    principalId: 'alice',
    roleDefinitionId: randomUUID(),
    scope: '/',
  } as const;
  await roles.putAssignment(assignment, 1_700_000_000, newChange());
  published.length = 0;
  proxy.loseNextCommit();
  await expect(roles.deleteAssignment(assignment.id, '/', newChange())).rejects.toMatchObject(
    unavailable,
  );
  await expect(roles.findAssignment(assignment.id, '/')).resolves.toBeUndefined();
  await until(() => published.length > 0, 1_000);
  expect(published).toContainEqual({ topic: 'assignment', id: 'alice' });
  await feed.close();
});

describe('a database that says nothing any more', () => {
  test('is unavailable after a bounded time, and its connections are not used again', async () => {
    const keys = createKeyReader(processOf(db, pool));
    await Promise.all([keys.findKey(name), keys.findKey(name)]);
    proxy.swallow(true);
    const began = performance.now();
    const attempts = [keys.findKey(name), keys.findKey(name)];
    for (const attempt of attempts) await expect(attempt).rejects.toMatchObject(unavailable);
    expect(performance.now() - began).toBeLessThan(20_000);
    proxy.swallow(false);
    await expect(keys.findKey(name)).resolves.toBeUndefined();
  });

  test('ends the belief in a feed within a second, and the feed comes back with the database', async () => {
    const feed = await openPoolFeed({
      url: proxy.url,
      poolId: pool.id,
      onError: () => undefined,
    });
    await until(() => feed.isCoherent(), 2_000);
    proxy.swallow(true);
    expect(await until(() => !feed.isCoherent(), 2_000)).toBeLessThan(1_050);
    proxy.swallow(false);
    await until(() => feed.isCoherent(), 8_000);
    await feed.close();
  });
});

test('where the feed finds that the database has gone silent, who waits for it is told, and nobody waits anew', async () => {
  const servers = readServers(proxy.url);
  const shared = { url: proxy.url, servers, poolId: pool.id, connections: 2 };
  const feed = await openPoolFeed({ ...shared, onError: () => undefined });
  const beside = openDatabase({ ...shared, onIdleError: () => undefined });
  const keys = createKeyReader(processOf(beside, pool));
  await keys.findKey(name);
  proxy.swallow(true);
  // A connection that is open, one that has to be made, and one that nobody has room for.
  const waiting = [1, 2, 3].map(() => keys.findKey(name).catch((error: unknown) => error));
  await until(() => servers.isAway, 10_000);
  for (const one of waiting) expect(await one).toMatchObject(unavailable);
  const connections = proxy.connections();
  await expect(keys.findKey(name)).rejects.toMatchObject(unavailable);
  expect(proxy.connections()).toBeLessThanOrEqual(connections + 2);
  proxy.swallow(false);
  await until(() => !servers.isAway, 10_000);
  await expect(keys.findKey(name)).resolves.toBeUndefined();
  await feed.close();
  await beside.destroy();
});

describe('a feed', () => {
  const openFeed = (onError: () => unknown = () => undefined) =>
    openPoolFeed({ url: proxy.url, poolId: pool.id, onError });

  test('that cannot listen in time keeps no connection of its attempts', async () => {
    let failures = 0;
    const feed = await openFeed(() => (failures += 1));
    // Signing in takes several messages, each within its limit; LISTEN then exceeds its own.
    proxy.slowDown(1_050);
    let most = 0;
    await eventually(() => {
      most = Math.max(most, proxy.connections());
      return failures === 3;
    });
    proxy.slowDown(0);
    // One listens, and one sends what proves it.
    expect(most).toBeLessThanOrEqual(2);
    await feed.close();
  });

  test('of a process that stands still does not take the database for away', async () => {
    const servers = readServers(serviceUrl);
    let moves = 0;
    servers.onMoved(() => (moves += 1));
    const shared = { url: serviceUrl, servers, poolId: pool.id };
    const feed = await openPoolFeed({ ...shared, onError: () => undefined });
    await until(() => feed.isCoherent(), 5_000);
    // As an HSM has it do that is opened: what comes meanwhile is read afterwards.
    for (const stoodStillMs of [2_050, 2_600]) {
      await withClient(serviceUrl, async (client) => {
        await client.query('select 1');
        // What follows an answer runs before what timers have waiting, and that before what else has come.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stoodStillMs);
      });
      await until(() => feed.isCoherent(), 10_000);
    }
    expect([moves, servers.isAway]).toEqual([0, false]);
    await feed.close();
  });

  test('that is closed while it connects again leaves no connection behind', async () => {
    const feed = await openFeed();
    await until(() => feed.isCoherent(), 2_000);
    proxy.slowDown(150);
    const before = proxy.accepted();
    await withClient(serviceUrl, (client) =>
      client.query(`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'strongroom change feed'`),
    );
    await until(() => proxy.accepted() > before, 10_000);
    await feed.close();
    // One that it was about to make would come now.
    await delay(300);
    expect(proxy.connections()).toBe(0);
  });

  test('that is closed while the database says nothing is closed in a bounded time', async () => {
    const feed = await openFeed();
    await until(() => feed.isCoherent(), 2_000);
    proxy.swallow(true);
    const began = performance.now();
    await feed.close();
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});

describe('without a database', () => {
  test.each([
    ['whose port is closed', 'postgres://strongroom@127.0.0.1:1/strongroom'],
    ['whose socket is not there', 'postgres://strongroom@/strongroom?host=/no/such/folder'],
  ])('%s, reads and changes say that the store is unavailable', async (_, url) => {
    const nowhere = openConnections(url);
    const context = processOf(nowhere, pool);
    const draft = newChange();
    const attempts = [
      () => findPool(nowhere, 'pool'),
      () => createKeyReader(context).findKey(name),
      () => createKeyWriter(context).insertVersion(newVersion(pool.id, name), draft),
      () => createAuditWriter(context).write([newChange().toRecord()]),
    ];
    for (const attempt of attempts) await expect(attempt()).rejects.toMatchObject(unavailable);
    expect(draft.isCommitted).toBe(false);
    await nowhere.destroy();
  });

  test('that takes no writes, as a former primary, the store is unavailable', async () => {
    const readOnly = openConnections(
      `${serviceUrl}&options=-c%20default_transaction_read_only%3Don`,
    );
    await expect(
      createKeyWriter(processOf(readOnly, pool)).insertVersion(
        newVersion(pool.id, name),
        newChange(),
      ),
    ).rejects.toMatchObject(unavailable);
    await readOnly.destroy();
  });
});
