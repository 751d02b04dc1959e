import { z } from 'zod';

/** Text that Postgres can hold: at most `limit` characters, without U+0000. */
export function text(limit: number) {
  return z
    .string()
    .max(limit)
    .regex(/^[^\0]*$/, { message: 'must not hold U+0000' });
}
