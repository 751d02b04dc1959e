import { z } from 'zod';

/** Shown to people and written to logs: no control characters, no unpaired surrogates. */
export const displayName = z
  .string()
  .max(256)
  .regex(/^[^\p{Cc}\p{Cs}]*$/u, { message: 'must not hold control characters' });
