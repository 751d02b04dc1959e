import { createHmac, timingSafeEqual } from 'node:crypto';
import { ServiceError } from '../../core/errors.ts';
import { NextLink } from './paging.ts';

/** Makes what a list gives as the place to go on from such that nobody else can make it. */
export interface Cursors {
  /** @param of the list, and what it is narrowed to */
  seal(of: unknown, place: string): string;
  /** @throws ServiceError BadParameter for what wasn't sealed for this, `what` in its sentence */
  open(of: unknown, cursor: string, what: string): string;
}

/** 128 bits (RFC 2104 §5). */
const MAC_BYTES = 16;

/**
 * Cursors are read by those who write queries: an altered one, or one of another list, would be a way around the checks of
 * what clients write. So each carries a MAC over its place and what it is of. `key` is the same for all that serve a pool,
 * so that one gives a cursor and another takes it.
 */
export function createCursors(key: Uint8Array): Cursors {
  const macOf = (of: unknown, place: string) =>
    createHmac('sha256', key)
      .update(JSON.stringify([of, place]))
      .digest()
      .subarray(0, MAC_BYTES);

  return {
    seal: (of, place) =>
      Buffer.concat([macOf(of, place), Buffer.from(place)]).toString('base64url'),
    open(of, cursor, what) {
      const bytes = Buffer.from(cursor, 'base64url');
      const place = bytes.subarray(MAC_BYTES).toString();
      const isOurs =
        bytes.length > MAC_BYTES &&
        bytes.toString('base64url') === cursor &&
        timingSafeEqual(bytes.subarray(0, MAC_BYTES), macOf(of, place));
      if (isOurs) return place;
      throw new ServiceError(
        'BadParameter',
        `The ${what} has an invalid value: it must be one that this list gave for the same filter.`,
      );
    },
  };
}

/** A list that goes page by page, as a cursor of it is bound to it: what is listed, where, and narrowed to what. */
export interface List {
  readonly of: unknown;
  readonly query: { readonly after?: string };
}

/** Undefined for what is no list: its query has no limit. */
export function listOf(operation: string, params: unknown, query: unknown): List | undefined {
  if (typeof query !== 'object' || query === null || !('limit' in query)) return undefined;
  const filter = Object.entries(query).filter(([name]) => name !== 'limit' && name !== 'after');
  return { of: [operation, params, filter], query: query as List['query'] };
}

/** @throws ServiceError BadParameter for a cursor that this list has not given */
export function openCursor(cursors: Cursors, { of, query }: List): object {
  const { after } = query;
  if (after === undefined) return query;
  return { ...query, after: cursors.open(of, after, 'query parameter $skiptoken') };
}

/** Makes the links of a list, where it goes on, such that only this list takes them. */
export function sealLinks(cursors: Cursors, { of }: List, response: unknown): void {
  for (const part of Object.values(response ?? {}))
    if (part instanceof NextLink) part.seal((place) => cursors.seal(of, place));
}
