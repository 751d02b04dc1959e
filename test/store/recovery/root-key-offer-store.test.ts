import { randomBytes } from 'node:crypto';
import { afterAll, expect, test } from '@jest/globals';
import { createRootKeyOfferStore } from '../../../src/store/recovery/root-keys/root-key-offer-store.ts';
import { makePool, openStoreDatabase } from '../../support/store.ts';

const database = await openStoreDatabase();
afterAll(() => database.close());
const { db } = database;

test('an offer is the last one of its pool, until it is taken back', async () => {
  const [pool, other] = [await makePool(db), await makePool(db)];
  const store = createRootKeyOfferStore({ db, poolId: pool.id });
  expect(await store.find()).toBeUndefined();
  const offer = { generation: 3, rootCheck: randomBytes(32) };
  await store.put({ generation: 2, rootCheck: randomBytes(32) });
  await store.put(offer);
  expect(await store.find()).toEqual(offer);
  expect(await createRootKeyOfferStore({ db, poolId: other.id }).find()).toBeUndefined();
  await store.remove();
  expect(await store.find()).toBeUndefined();
});

test('one that a killed command has left is no question to anybody any more', async () => {
  const { id: poolId } = await makePool(db);
  const store = createRootKeyOfferStore({ db, poolId });
  await store.put({ generation: 2, rootCheck: randomBytes(32) });
  await db
    .updateTable('root_key_offer')
    .set({ offered_at: new Date(Date.now() - 120_000) })
    .where('pool_id', '=', poolId)
    .execute();
  expect(await store.find()).toBeUndefined();
});
