import { expect, test } from '@jest/globals';
import { OperationTimes } from '../../../src/hsm/module/operation-times.ts';

const SIGN = 'sign RS256 4096';

/** Whether the event loop waits for an operation after it has taken so many milliseconds, each of them so often. */
function isShortAfter(times: OperationTimes, ...runs: readonly (readonly [number, number])[]) {
  for (const [count, ms] of runs) for (let run = 0; run < count; run += 1) times.measured(SIGN, ms);
  return times.isShort(SIGN);
}

test('an operation that is short is waited for, from the first one on', () => {
  expect(new OperationTimes().isShort(SIGN)).toBe(true);
  expect(isShortAfter(new OperationTimes(), [1_000, 0.07])).toBe(true);
});

test('one that takes long goes to a thread within a few runs', () => {
  expect(isShortAfter(new OperationTimes(), [16, 5])).toBe(false);
  expect(isShortAfter(new OperationTimes(), [2, 1_000])).toBe(false);
});

test('one that takes very long now and then goes to a thread too', () => {
  const times = new OperationTimes();
  for (let round = 0; round < 10; round += 1) isShortAfter(times, [4, 0.07], [1, 50]);
  expect(times.isShort(SIGN)).toBe(false);
});

test('a core that is lost now and then in the middle of a short one changes nothing', () => {
  const times = new OperationTimes();
  for (let round = 0; round < 100; round += 1) {
    expect(isShortAfter(times, [19, 0.07], [1, 4])).toBe(true);
    expect(isShortAfter(times, [100, 0.07], [1, 500])).toBe(true);
  }
});

test('one that has become short is waited for again', () => {
  expect(isShortAfter(new OperationTimes(), [100, 5], [64, 0.5])).toBe(true);
});

test('kinds are measured for themselves', () => {
  const times = new OperationTimes();
  isShortAfter(times, [100, 5]);
  expect(times.isShort('sign RS256 2048')).toBe(true);
});

test('the event loop never waits for an RSA key that is made', () => {
  const times = new OperationTimes();
  expect(times.isShort('generate RSA-HSM 2048')).toBe(false);
  expect(times.isShort('generate EC-HSM P-256')).toBe(true);
  for (let run = 0; run < 100; run += 1) times.measured('generate RSA-HSM 2048', 60);
  expect(times.isShort('generate RSA-HSM 2048')).toBe(false);
});
