import { z } from 'zod';
import type { Page, PageRequest } from '../../core/paging.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import { text } from './text.ts';

/** The longest places are of counts of use: they name a key, a principal and an operation. */
const CURSOR_LIMIT = 4096;

/** maxresults and $skiptoken; a page has `limit` items unless the client asks for fewer. */
export function pageQuery(limit: number) {
  return z
    .object({
      maxresults: z.coerce.number().int().min(1).max(limit).optional(),
      $skiptoken: text(CURSOR_LIMIT).optional(),
    })
    .transform(({ maxresults, $skiptoken }): PageRequest =>
      withoutUndefined({ limit: maxresults ?? limit, after: $skiptoken }),
    );
}

/** Azure's list response. The link repeats the client's own query; clients add the api-version themselves. */
export function serializePage<T, Presented>(
  page: Page<T>,
  url: string,
  query: Readonly<Record<string, string | number | undefined>>,
  present: (item: T) => Presented,
): { nextLink: NextLink | undefined; value: Presented[] } {
  const toLink = ($skiptoken: string) => `${url}?${linkQuery({ ...query, $skiptoken })}`;
  return {
    nextLink: page.next === undefined ? undefined : new NextLink(page.next, toLink),
    value: page.items.map(present),
  };
}

/** A link to where a list goes on; it can be written once its cursor is sealed, which `route()` does for every list. */
export class NextLink {
  readonly #place: string;
  readonly #toLink: (cursor: string) => string;
  #cursor: string | undefined;
  constructor(place: string, toLink: (cursor: string) => string) {
    this.#place = place;
    this.#toLink = toLink;
  }

  seal(seal: (place: string) => string): void {
    this.#cursor = seal(this.#place);
  }

  toJSON(): string {
    if (this.#cursor === undefined) throw new Error('a link left with a bare cursor');
    return this.#toLink(this.#cursor);
  }
}

function linkQuery(query: Readonly<Record<string, string | number | undefined>>): string {
  return Object.entries(query)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`)
    .join('&');
}
