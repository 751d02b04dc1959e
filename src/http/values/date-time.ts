import { z } from 'zod';

/** RFC 3339 has four digits for a year: an offset must not lead out of them. */
const FIRST = new Date('0001-01-01T00:00:00Z');
const LAST = new Date('9999-12-31T23:59:59.999Z');

/** A point in time that can be written as it was read (RFC 3339 §5.6). */
export const dateTime = z
  .preprocess(
    // RFC 3339 §5.6: "T" and "Z" may be written in lower case.
    (given) => (typeof given === 'string' ? given.toUpperCase() : given),
    z.iso.datetime({ offset: true }),
  )
  .transform((text) => new Date(text))
  .refine((time) => time >= FIRST && time <= LAST, {
    message: 'must be between the years 1 and 9999',
  });
