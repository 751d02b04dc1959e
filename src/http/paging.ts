import { z } from 'zod';
import { type Page, type PageRequest } from '../core/ports.ts';
import { text } from './text.ts';

/** maxresults and $skiptoken; a page has `limit` items unless the caller asks for fewer. */
export function pageQuery(limit: number) {
  return z
    .object({
      maxresults: z.coerce.number().int().min(1).max(limit).optional(),
      $skiptoken: text(1024).optional(),
    })
    .transform(({ maxresults, $skiptoken }): PageRequest => ({
      limit: maxresults ?? limit,
      ...($skiptoken !== undefined && { after: $skiptoken }),
    }));
}

/** Azure's list answer. The link repeats the caller's own query; clients add the api-version themselves. */
export function presentPage<T, Presented>(
  page: Page<T>,
  url: string,
  query: Readonly<Record<string, string | number | undefined>>,
  present: (item: T) => Presented,
): { nextLink?: string; value: Presented[] } {
  return {
    ...(page.next !== undefined && {
      nextLink: `${url}?${linkQuery({ ...query, $skiptoken: page.next })}`,
    }),
    value: page.items.map(present),
  };
}

function linkQuery(query: Readonly<Record<string, string | number | undefined>>): string {
  return Object.entries(query)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`)
    .join('&');
}
