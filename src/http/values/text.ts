import { z } from 'zod';
import { isStorable, NOT_STORABLE } from '../../core/storable-text.ts';

/**
 * The one reader of texts that clients write: at most `limit` characters, and such as Postgres can hold. (A rule of
 * eslint's keeps `z.string` out of the other files here.)
 */
export function text(limit: number, params?: Parameters<typeof z.string>[0]) {
  return z.string(params).max(limit).refine(isStorable, { message: NOT_STORABLE });
}

/** Text of a form that has none but harmless characters, as long as a body may be. */
export function textOf(isOfForm: (text: string) => boolean, message: string) {
  return z.string().refine(isOfForm, { message });
}

/** One of a few words, in any case. */
export function oneOf<const Words extends readonly string[]>(words: Words) {
  return text(64)
    .transform((word) => word.toLowerCase())
    .pipe(z.enum(words));
}

/** A GUID, in lower case whatever the client writes. */
export const guid = z.guid().transform((id) => id.toLowerCase());
