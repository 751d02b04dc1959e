import { ServiceError } from '../core/errors.ts';
import type { Page } from '../core/paging.ts';

/** A cursor is opaque to callers: base64url of the last item's place in the order. */
function encodeCursor(place: string): string {
  return Buffer.from(place).toString('base64url');
}

/** What Postgres takes for a uuid, and nothing that it refuses. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const MAX_PLACE = 2048;

/** @throws ServiceError BadParameter for what isn't a cursor of ours */
export function decodeCursor(cursor: string, form: RegExp): string {
  const place = Buffer.from(cursor, 'base64url').toString();
  if (place.length > MAX_PLACE || !form.test(place))
    throw new ServiceError('BadParameter', 'The query parameter $skiptoken has an invalid value.');
  return place;
}

/** Of `limit + 1` rows read, the page and, where there is more, the cursor of the last item on it. */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  item: (row: Row) => Item,
  place: (row: Row) => string,
): Page<Item> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    items: shown.map(item),
    ...(rows.length > limit && last !== undefined && { next: encodeCursor(place(last)) }),
  };
}
