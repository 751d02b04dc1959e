import { expect, test } from '@jest/globals';
import { figuresOf, limitOf, median, quantile, weightedMean } from './figures.ts';

test.each([
  [[3, 1, 2], 2],
  [[4, 1, 3, 2], 2.5],
  [[7], 7],
])('the median of %j is %d', (values, expected) => {
  expect(median(values)).toBe(expected);
});

test('of nothing there is neither a median nor a quantile', () => {
  expect(() => median([])).toThrow(RangeError);
  expect(() => quantile([], 0.5)).toThrow(RangeError);
  expect(() => weightedMean([])).toThrow(RangeError);
});

test('a quantile is the value at the nearest rank', () => {
  const values = Array.from({ length: 200 }, (_, index) => 200 - index);
  expect([0, 0.5, 0.99, 1].map((part) => quantile(values, part))).toEqual([1, 100, 198, 200]);
});

test('one after the other takes the sum of both times', () => {
  expect(limitOf(1000, 1000)).toBe(500);
  expect(limitOf(6000, 3000)).toBeCloseTo(2000);
  expect(limitOf(1000, null)).toBe(1000);
});

test('ratios are of medians, and the spread is of single rounds', () => {
  const figures = figuresOf({
    bare: [
      { perSecond: 5000, cpuUs: 200 },
      { perSecond: 4000, cpuUs: 210 },
      { perSecond: 1000, cpuUs: 190 },
    ],
    raw: [
      { perSecond: 12_000, cpuUs: 70 },
      { perSecond: 13_000, cpuUs: 60 },
      { perSecond: 11_000, cpuUs: 80 },
    ],
    service: [
      { perSecond: 1500, cpuUs: 540, postgresCpuUs: 50 },
      { perSecond: 1600, cpuUs: 500, postgresCpuUs: 40 },
      { perSecond: 100, cpuUs: 600, postgresCpuUs: 60 },
    ],
  });
  expect(figures).toMatchObject({
    bare: 4000,
    raw: 12_000,
    service: 1500,
    bareCpuUs: 200,
    rawCpuUs: 70,
    cpuUs: 540,
    postgresCpuUs: 50,
    ratio: 0.5,
  });
  expect(figures.limit).toBeCloseTo(3000);
  expect(figures.ratioWall).toBeCloseTo(0.5);
  expect(figures.ratioSpread).toEqual([0.45, 0.54]);
});

test('an operation without an HSM is held against the bare server alone', () => {
  const figures = figuresOf({
    bare: [{ perSecond: 4000, cpuUs: 200 }],
    service: [{ perSecond: 3000, cpuUs: 250, postgresCpuUs: 30 }],
  });
  expect(figures).toMatchObject({ raw: null, rawCpuUs: 0, limit: 4000, ratio: 0.8 });
});

test('a mixture is weighted by how often each part came', () => {
  const parts = [
    { weight: 3, value: 100 },
    { weight: 1, value: 500 },
  ];
  expect(weightedMean(parts)).toBe(200);
});
