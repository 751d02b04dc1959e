import { expect, test } from '@jest/globals';
import { createEncryptionLimit } from '../../../src/core/operations/encryption-limit.ts';
import type { ServiceError } from '../../../src/core/errors.ts';
import { type KeyIdentity, parseKeyName, parseKeyVersionId } from '../../../src/core/keys/key.ts';
import type { EncryptionCountStore } from '../../../src/core/operations/ports.ts';

const identity = (digit: string): KeyIdentity => ({
  pool: 'pool',
  name: parseKeyName('key'),
  version: parseKeyVersionId(digit.repeat(32)),
  operations: ['encrypt'],
  exportable: false,
  origin: 'generated',
});

/** What Postgres does, in memory. */
function createStore(): EncryptionCountStore & { used: Map<string, number>; asked: number } {
  const used = new Map<string, number>();
  return {
    used,
    asked: 0,
    async reserveEncryptions(version, wanted, limit) {
      this.asked += 1;
      await Promise.resolve();
      const before = used.get(version) ?? 0;
      const granted = Math.max(0, Math.min(wanted, limit - before));
      used.set(version, before + granted);
      return { granted, used: before + granted };
    },
  };
}

function start(store: EncryptionCountStore, limit: number, remembered = 10) {
  const halves: number[] = [];
  const onHalfUsed = (_identity: KeyIdentity, used: number) => halves.push(used);
  return { halves, ...createEncryptionLimit({ store, limit, remembered, onHalfUsed }) };
}

test('no more encryptions than the limit, over all processes, however many ask at once', async () => {
  const store = createStore();
  const processes = [start(store, 1000), start(store, 1000), start(store, 1000)] as const;
  const outcomes = await Promise.allSettled(
    Array.from({ length: 3000 }, (_, index) =>
      (processes[index % 3] ?? processes[0]).spend(identity('a')),
    ),
  );
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1000);
  const reasons = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [(outcome.reason as ServiceError).code] : [],
  );
  expect(new Set(reasons)).toEqual(new Set(['EncryptionLimitReached']));
  await expect(processes[0].spend(identity('b'))).resolves.toBeUndefined();
});

test('the store is asked seldom, and never counts fewer than were made', async () => {
  const store = createStore();
  const limit = start(store, 2 ** 32);
  let tooFew = 0;
  for (let made = 1; made <= 100_000; made += 1) {
    await limit.spend(identity('a'));
    if ((store.used.get('a'.repeat(32)) ?? 0) < made) tooFew += 1;
  }
  expect(tooFew).toBe(0);
  expect(store.asked).toBeLessThan(12);
});

test('half of the limit is reported once', async () => {
  const limit = start(createStore(), 1000);
  for (let made = 0; made < 1000; made += 1) await limit.spend(identity('a'));
  expect(limit.halves).toHaveLength(1);
  expect(limit.halves[0]).toBeGreaterThanOrEqual(500);
});

test('a key that is forgotten counts on from what it had set aside', async () => {
  const store = createStore();
  const limit = start(store, 2 ** 32, 1);
  for (const digit of ['a', 'b', 'a']) await limit.spend(identity(digit));
  expect(store.used.get('a'.repeat(32))).toBe(128);
});
