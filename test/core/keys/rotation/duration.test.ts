import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { addDuration, parseDuration } from '../../../../src/core/keys/rotation/duration.ts';

const at = (iso: string) => Date.parse(iso) / 1000;

test.each([
  ['P28D', { months: 0, days: 28 }],
  ['P18M', { months: 18, days: 0 }],
  ['P2Y', { months: 24, days: 0 }],
  ['P1Y6M2W3D', { months: 18, days: 17 }],
  ['P0D', { months: 0, days: 0 }],
  ['P90DT0S', { months: 0, days: 90 }],
  ['P90DT0H0M0S', { months: 0, days: 90 }],
  ['P90DT0.000S', { months: 0, days: 90 }],
  ['P3MT0H', { months: 3, days: 0 }],
  ['P0Y0M90D', { months: 0, days: 90 }],
  // java.time.Duration.ofDays(90).toString()
  ['PT2160H', { months: 0, days: 90 }],
  ['P1DT23H59M60S', { months: 0, days: 2 }],
  ['PT0S', { months: 0, days: 0 }],
])('%s is read', (text, expected) => {
  expect(parseDuration('x', text)).toEqual(expected);
});

test.each([
  '',
  'P',
  '28D',
  'P28',
  'PD',
  'P1D2M',
  'P1.5D',
  'P-1D',
  '-P1D',
  'PT1H',
  'P1DT1H',
  'P90DT',
  'PT',
  'P90DT1S',
  'P90DT0.5S',
  'P90DT0S0M',
  'P90D0S',
  'PT2160',
  'PT999999999H',
  'p1d',
  'P1D ',
  'P99999999D',
  'P1D\n',
])('%j is refused', (text) => {
  expect(() => parseDuration('expiryTime', text)).toThrow(
    expect.objectContaining({
      code: 'BadParameter',
      message: expect.stringContaining('expiryTime'),
    }),
  );
});

describe('a moment', () => {
  test.each([
    ['2026-01-31T10:00:00Z', 'P1M', 1, '2026-02-28T10:00:00Z'],
    ['2028-01-31T10:00:00Z', 'P1M', 1, '2028-02-29T10:00:00Z'],
    ['2028-02-29T00:00:00Z', 'P1Y', 1, '2029-02-28T00:00:00Z'],
    ['2026-03-31T23:59:59Z', 'P1M', -1, '2026-02-28T23:59:59Z'],
    ['2026-01-15T00:00:00Z', 'P1M', -1, '2025-12-15T00:00:00Z'],
    ['2026-11-24T12:00:00Z', 'P18M', 1, '2028-05-24T12:00:00Z'],
    ['2026-03-01T00:00:00Z', 'P28D', -1, '2026-02-01T00:00:00Z'],
    ['2026-01-31T00:00:00Z', 'P1M1D', 1, '2026-03-01T00:00:00Z'],
  ] as const)('%s and %s (%i) is %s', (start, text, sign, expected) => {
    expect(addDuration(at(start), parseDuration('x', text), sign)).toBe(at(expected));
  });

  test('later by a longer duration is never earlier, and days add up to seconds', () => {
    const moment = fc.integer({ min: 0, max: 4_102_444_800 });
    fc.assert(
      fc.property(moment, fc.nat(600), fc.nat(5000), (start, months, days) => {
        const later = addDuration(start, { months, days }, 1);
        expect(later).toBe(addDuration(start, { months, days: 0 }, 1) + days * 86_400);
        expect(addDuration(start, { months: months + 1, days }, 1)).toBeGreaterThan(later);
        expect(addDuration(start, { months, days }, -1)).toBeLessThanOrEqual(start);
      }),
    );
  });
});
