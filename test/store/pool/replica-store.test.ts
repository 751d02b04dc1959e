import { randomUUID } from 'node:crypto';
import { afterAll, expect, test } from '@jest/globals';
import type { ProcessReport, ServingProcess } from '../../../src/core/pool/replicas.ts';
import { createReplicaStore } from '../../../src/store/pool/replica-store.ts';
import { makePool, openStoreDatabase } from '../../support/store.ts';

const database = await openStoreDatabase();
afterAll(() => database.close());
const { db } = database;

const READY: ProcessReport = {
  isReady: true,
  reason: undefined,
  rootGenerations: [1],
  feedLagMs: 4,
  clockDifferenceMs: undefined,
};

function newProcess(): ServingProcess {
  return {
    id: randomUUID(),
    replica: { id: randomUUID(), name: 'east-1' },
    version: '1.2.3',
    schema: '0001_first.sql',
    startedAt: new Date('2026-11-28T10:00:00Z'),
  };
}

async function newStore() {
  const pool = await makePool(db);
  return createReplicaStore({ db, poolId: pool.id });
}

test('a process is known as it has said last, by the time of the store', async () => {
  const store = await newStore();
  const process = newProcess();
  const first = await store.report(process, READY);
  const report = { ...READY, isReady: false, reason: 'It waits.', rootGenerations: [1, 2] };
  const second = await store.report(process, report);
  expect(second.getTime()).toBeGreaterThanOrEqual(first.getTime());
  const listed = await store.list(10);
  expect(listed).toEqual([{ ...process, ...report, seenAt: second, silentMs: expect.any(Number) }]);
  expect(listed[0]?.silentMs).toBeGreaterThanOrEqual(0);
});

test("a pool's processes are no other pool's, and one that ends in good order is gone", async () => {
  const [store, other] = [await newStore(), await newStore()];
  const [own, others] = [newProcess(), newProcess()];
  await store.report(own, READY);
  await other.report(others, READY);
  expect((await store.list(10)).map(({ id }) => id)).toEqual([own.id]);
  await store.remove(own.id);
  expect(await store.list(10)).toEqual([]);
  expect(await other.list(10)).toHaveLength(1);
});

test('those that have been silent for so long are forgotten, and no others', async () => {
  const store = await newStore();
  const [silent, live] = [newProcess(), newProcess()];
  await store.report(silent, READY);
  await store.report(live, READY);
  await db
    .updateTable('replica_process')
    .set({ seen_at: new Date(Date.now() - 40 * 86_400_000) })
    .where('id', '=', silent.id)
    .execute();
  expect((await store.list(10)).map(({ id }) => id)).toEqual([live.id, silent.id]);
  await store.forget(3_600_000);
  expect((await store.list(10)).map(({ id }) => id)).toEqual([live.id]);
});
