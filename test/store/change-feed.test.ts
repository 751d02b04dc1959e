import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { parseKeyName } from '../../src/core/keys/key.ts';
import type { StateChange } from '../../src/core/caching/change-feed.ts';
import { type OpenPoolFeed, openPoolFeed } from '../support/change-feed.ts';
import { STATE_TOPICS } from '../../src/core/caching/change-feed.ts';
import { notify } from '../../src/store/database.ts';
import { createKeyWriter } from '../../src/store/keys/key-writer.ts';
import type { Pool } from '../../src/store/pool/pool-store.ts';
import {
  makePool,
  newChange,
  newVersion,
  openStoreDatabase,
  processOf,
  unrecordableChange,
  withClient,
} from '../support/store.ts';

const database = await openStoreDatabase();
const { db, serviceUrl } = database;
afterAll(() => database.close());

let pool: Pool;
let feed: OpenPoolFeed;
let published: (StateChange | 'reset')[];
beforeEach(async () => {
  pool = await makePool(db);
  published = [];
  feed = await openPoolFeed({
    url: serviceUrl,
    poolId: pool.id,
    onError: () => undefined,
  });
  feed.subscribe((change) => published.push(change));
  await until(() => feed.isCoherent());
});
afterEach(() => feed.close());

/** Resolves with the milliseconds after which it was last seen not to be so: this process may have stood still since. */
async function until(isSo: () => boolean, limitMs = 5_000): Promise<number> {
  const began = performance.now();
  for (let lastMs = 0; ;) {
    const askedMs = performance.now() - began;
    if (isSo()) return lastMs;
    if (askedMs > limitMs) throw new Error('it did not come about');
    lastMs = askedMs;
    await delay(5);
  }
}

/** What another process of the same pool does. */
const addElsewhere = (name: string, change = newChange(), of: { id: string } = pool) =>
  createKeyWriter(processOf(db, of)).insertVersion(newVersion(of.id, name), change);

const send = (payload: string) =>
  withClient(serviceUrl, (client) =>
    client.query(`select pg_notify('strongroom_change', $1)`, [payload]),
  );

const cut = () =>
  withClient(serviceUrl, (client) =>
    client.query(`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'strongroom change feed'`),
  );

describe('a feed', () => {
  test('publishes what another process has changed, by the key’s name in lower case', async () => {
    await addElsewhere('Payments');
    await until(() => published.length > 0);
    expect(published).toEqual([{ topic: 'key', id: 'payments' }]);
  });

  test('publishes what this process has changed at once', async () => {
    const context = {
      ...processOf(db, pool),
      publish: (change: StateChange) => {
        feed.publish(change);
      },
    };
    await createKeyWriter(context).insertVersion(newVersion(pool.id, 'mine'), newChange());
    expect(published).toContainEqual({ topic: 'key', id: 'mine' });
  });

  test('reaches every subscriber', async () => {
    const seen: unknown[] = [];
    feed.subscribe((change) => seen.push(change));
    await addElsewhere('payments');
    await until(() => seen.length > 0 && published.length > 0);
    expect(seen).toEqual(published);
  });

  test('publishes nothing of another pool, nor of what was rolled back', async () => {
    await addElsewhere('theirs', newChange(), await makePool(db));
    await addElsewhere('failed', unrecordableChange()).catch(() => undefined);
    await addElsewhere('last');
    await until(() => published.length > 0);
    expect(published).toEqual([{ topic: 'key', id: 'last' }]);
  });

  test('in the order in which changes were committed', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `key-${index}`);
    for (const name of names) await addElsewhere(name);
    await until(() => published.length === names.length);
    expect(published).toEqual(names.map((id) => ({ topic: 'key', id })));
  });

  test.each(STATE_TOPICS)('publishes a change of the topic %s as what it is', async (topic) => {
    await database.db
      .transaction()
      .execute((trx) => notify(trx, pool.id, [{ topic, id: 'what changed' }]));
    // After a restore nothing that is remembered holds.
    const expected = [{ topic, id: 'what changed' }, ...(topic === 'restored' ? ['reset'] : [])];
    await until(() => published.length === expected.length);
    expect(published).toEqual(expected);
  });

  test('takes a topic of a newer version for a change of everything, in its pool alone', async () => {
    const other = await makePool(db);
    const ofNewer = (poolId: string) => send(JSON.stringify({ poolId, topic: 'newer', id: 'x' }));
    await ofNewer(other.id);
    await addElsewhere('mine');
    await until(() => published.length > 0);
    expect(published).toEqual([{ topic: 'key', id: 'mine' }]);
    await ofNewer(pool.id);
    await until(() => published.length > 1);
    expect(published).toContain('reset');
  });

  test.each(['', 'null', 'no JSON', '{}', '{"topic":"key"}', '{"topic":"other","id":"x"}'])(
    'takes the message %j, which it does not understand, for a reset',
    async (payload) => {
      await send(payload);
      await until(() => published.length > 0);
      expect(published).toEqual(['reset']);
    },
  );
});

describe('coherence', () => {
  test('holds for as long as the feed is alive', async () => {
    for (let turn = 0; turn < 60; turn += 1) {
      expect(feed.isCoherent()).toBe(true);
      await delay(25);
    }
  });

  test('means that every change of more than a second ago has been published', async () => {
    await addElsewhere('revoked');
    const committed = performance.now();
    while (performance.now() - committed < 1_000) await delay(5);
    expect(feed.isCoherent() && !published.some((change) => change !== 'reset')).toBe(false);
  });

  test('ends when the connection is cut, and comes back only after a reset is published', async () => {
    let wasCoherentWhenTold: boolean | undefined;
    feed.subscribe((change) => {
      if (change === 'reset') wasCoherentWhenTold = feed.isCoherent();
    });
    await cut();
    expect(await until(() => !feed.isCoherent())).toBeLessThan(1_000);
    await addElsewhere('unheard');
    await until(() => feed.isCoherent());
    expect(published).toContain('reset');
    expect(wasCoherentWhenTold).toBe(false);
  });

  test('comes back after every cut, and changes are published again', async () => {
    for (let round = 0; round < 3; round += 1) {
      await cut();
      await until(() => !feed.isCoherent());
      await until(() => feed.isCoherent());
    }
    published.length = 0;
    await addElsewhere('heard');
    await until(() => published.length > 0);
    expect(published).toEqual([{ topic: 'key', id: 'heard' }]);
  });

  test('ends while this process stands still', async () => {
    const began = performance.now();
    while (performance.now() - began < 1_100);
    expect(feed.isCoherent()).toBe(false);
    await until(() => feed.isCoherent());
  });

  test('ends when the feed is closed', async () => {
    await feed.close();
    expect(feed.isCoherent()).toBe(false);
    const { rows } = await withClient(serviceUrl, (client) =>
      client.query(`select from pg_stat_activity
        where datname = current_database() and application_name = 'strongroom change feed'`),
    );
    expect(rows).toEqual([]);
  });
});

test('a feed that cannot be opened says so', async () => {
  const url = serviceUrl.replace(/\/test_\w+/, '/no_such_database');
  await expect(
    openPoolFeed({ url, poolId: pool.id, onError: () => undefined }),
  ).rejects.toMatchObject({ code: '3D000' });
});

test('a name may be as long as names get', async () => {
  const name = parseKeyName('a'.repeat(127));
  await addElsewhere(name);
  await until(() => published.length > 0);
  expect(published).toEqual([{ topic: 'key', id: name }]);
});

test('who has left hears nothing, and is told to believe nothing', async () => {
  const own = await openPoolFeed({
    url: database.serviceUrl,
    poolId: pool.id,
    onError: () => undefined,
  });
  await until(() => own.isCoherent());
  own.leave();
  expect(own.isCoherent()).toBe(false);
  await own.close();
});
