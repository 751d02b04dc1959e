import { expect, test } from '@jest/globals';
import { NativeCalls } from '../../src/hsm/native-calls.ts';

const calls = new NativeCalls({ deadlineMs: 20_000, onHang: () => undefined, takesTurns: true });

function busyFor(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
}

test('a crowd of calls on the event loop leaves it to others in between', async () => {
  let rounds = 0;
  let isDone = false;
  const goRound = () => {
    rounds += 1;
    if (!isDone) setImmediate(goRound);
  };
  setImmediate(goRound);
  const call = {
    inline: () => {
      busyFor(1);
      return rounds;
    },
    offLoop: () => {
      throw new Error('it was to run inline');
    },
  };
  const seen = await Promise.all(
    Array.from({ length: 20 }, () => calls.run('sign', 'brief', call)),
  );
  isDone = true;
  expect(new Set(seen).size).toBeGreaterThanOrEqual(5);
});

test('a call that fails inline is told of, and the next one runs', async () => {
  const failing = {
    inline: () => {
      throw new Error('CKR_DEVICE_ERROR');
    },
    offLoop: () => undefined,
  };
  await expect(calls.run('verify', 'fast', failing)).rejects.toThrow('CKR_DEVICE_ERROR');
  await expect(
    calls.run('verify', 'fast', { inline: () => 7, offLoop: () => undefined }),
  ).resolves.toBe(7);
});
