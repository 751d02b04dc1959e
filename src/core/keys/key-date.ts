/**
 * The dates that a key may carry, in seconds since 1970-01-01 UTC: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z. RFC 3339
 * can write them all, and the clients' own date types hold them.
 */
export const FIRST_DATE = -62_135_596_800;
export const LAST_DATE = 253_402_300_799;

/** A date outside that range, from arithmetic or from a record that somebody has written, counts as the range's end. */
export function nearestDate(seconds: number): number {
  return Math.min(Math.max(seconds, FIRST_DATE), LAST_DATE);
}
