import type { z } from 'zod';

/** Clients send null for what they leave out. */
export function optional<T>(schema: z.ZodType<T>) {
  return schema.nullish().transform((value) => value ?? undefined);
}
