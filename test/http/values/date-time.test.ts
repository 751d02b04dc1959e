import { describe, expect, test } from '@jest/globals';
import { dateTime } from '../../../src/http/values/date-time.ts';

describe('a point in time', () => {
  test.each([
    ['2026-11-27T10:00:00Z', '2026-11-27T10:00:00.000Z'],
    ['2026-11-27t10:00:00z', '2026-11-27T10:00:00.000Z'],
    ['2026-11-27T10:00:00.25+01:30', '2026-11-27T08:30:00.250Z'],
    ['2026-11-27t10:00:00-00:00', '2026-11-27T10:00:00.000Z'],
  ])('is read as RFC 3339 writes it: %s', (text, expected) => {
    expect(dateTime.parse(text).toISOString()).toBe(expected);
  });

  test.each([
    '2026-11-27',
    '2026-11-27 10:00:00Z',
    '2026-11-27T10:00:00',
    '2026-02-30T10:00:00Z',
    '0001-01-01T00:00:00+01:00',
    '9999-12-31T23:59:59-01:00',
    1795773600,
    null,
  ])('is nothing else: %j', (given) => {
    expect(dateTime.safeParse(given).success).toBe(false);
  });
});
