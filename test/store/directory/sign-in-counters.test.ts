import { randomUUID } from 'node:crypto';
import { afterAll, expect, test } from '@jest/globals';
import { createSignInThrottle } from '../../../src/identity/clients/sign-in-throttle.ts';
import { openDatabase } from '../../../src/store/database.ts';
import { createSignInCounters } from '../../../src/store/directory/sign-in-counters.ts';
import { type Db, openStoreDatabase } from '../../support/store.ts';

const database = await openStoreDatabase();
afterAll(() => database.close());

const LIMITS = { perPair: 3, perAddress: 6, perApplication: 9 };
const HERE = '192.0.2.1';

/** Of a process. */
const throttleOf = (db: Db, poolId: string) =>
  createSignInThrottle(LIMITS, createSignInCounters({ db, poolId }));

test('refused credentials are counted over all processes of a pool, and over no others', async () => {
  const poolId = randomUUID();
  const one = throttleOf(database.db, poolId);
  const other = throttleOf(database.otherDb, poolId);
  await one.failed('a', HERE);
  await other.failed('a', HERE);
  await expect(one.require('a', HERE)).resolves.toBeUndefined();
  await one.failed('a', HERE);
  await expect(other.require('a', HERE)).rejects.toMatchObject({ status: 429 });
  await expect(throttleOf(database.db, randomUUID()).require('a', HERE)).resolves.toBeUndefined();
});

test('an application that has signed in by one process is known to the others', async () => {
  const poolId = randomUUID();
  const [one, other] = [throttleOf(database.db, poolId), throttleOf(database.otherDb, poolId)];
  await one.succeeded('a', HERE);
  for (let tries = 0; tries < 9; tries += 1) await one.failed('a', `198.51.100.${tries}`);
  await expect(other.require('a', HERE)).resolves.toBeUndefined();
  await expect(other.require('a', '198.51.100.77')).rejects.toMatchObject({ status: 429 });
});

test('names and addresses are in no row, however long they are', async () => {
  const poolId = randomUUID();
  await throttleOf(database.db, poolId).failed(`secret-name-${'x'.repeat(10_000)}`, HERE);
  const rows = await database.db.selectFrom('sign_in_counter').selectAll().execute();
  const own = rows.filter(({ key }) => key.startsWith(poolId));
  expect(own).toHaveLength(3);
  expect(JSON.stringify(own)).not.toMatch(/secret-name|192\.0\.2/);
});

test('while the database is away a process counts for itself', async () => {
  const db = openDatabase({
    url: 'postgres://nobody@127.0.0.1:1/nowhere',
    connections: 1,
    onIdleError: () => undefined,
  });
  const throttle = throttleOf(db, randomUUID());
  for (let tries = 0; tries < 3; tries += 1) await throttle.failed('a', HERE);
  await expect(throttle.require('a', HERE)).rejects.toMatchObject({ status: 429 });
  await expect(throttle.require('b', HERE)).resolves.toBeUndefined();
  await db.destroy();
});
