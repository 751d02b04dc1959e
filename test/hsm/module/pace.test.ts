import { expect, test } from '@jest/globals';
import { Pace } from '../../../src/hsm/module/pace.ts';

/** Whether calls run inline after `count` that took `us` each, as far as they ran inline. */
function after(pace: Pace, count: number, us: number): boolean {
  for (let call = 0; call < count; call += 1) if (pace.next()) pace.measured(us);
  return pace.next();
}

test('calls that are expected to be fast run inline while they are', () => {
  expect(after(new Pace('fast', false), 1_000, 70)).toBe(true);
});

test('a slow module is off the loop within a few calls', () => {
  expect(after(new Pace('fast', false), 8, 600)).toBe(false);
});

test('what takes very long now and then is off the loop too', () => {
  const pace = new Pace('fast', false);
  for (let round = 0; round < 10; round += 1) {
    after(pace, 4, 70);
    after(pace, 1, 50_000);
  }
  expect(pace.next()).toBe(false);
});

test('now and then a core that is lost in the middle of a call changes nothing', () => {
  const pace = new Pace('fast', false);
  for (let round = 0; round < 100; round += 1) {
    after(pace, 19, 70);
    after(pace, 1, 4_000);
  }
  expect(pace.next()).toBe(true);
});

test('calls that have become fast come back', () => {
  const pace = new Pace('fast', false);
  after(pace, 16, 600);
  expect(after(pace, 1_024, 70)).toBe(true);
});

test('what is expected to take long is never tried on the loop', () => {
  expect(after(new Pace('long', true), 2_000, 70)).toBe(false);
});

test('calls of a millisecond run inline only where calls take turns anyway', () => {
  expect(after(new Pace('brief', true), 1_000, 1_500)).toBe(true);
  expect(after(new Pace('brief', false), 1_000, 1_500)).toBe(false);
});

test('where calls take turns, what holds up the loop for long is off it all the same', () => {
  expect(after(new Pace('brief', true), 8, 9_000)).toBe(false);
});
