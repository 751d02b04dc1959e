import { z } from 'zod';
import type { Page } from '../../core/paging.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import { apiVersionOf, type RequestContext } from '../context.ts';
import { serializePage } from '../values/paging.ts';
import { text } from '../values/text.ts';

const PAGE_LIMIT = 100;
const CURSOR_LIMIT = 4096;
const FILTER_LIMIT = 1024;

/** $top, $filter and $skiptoken. */
export const ArmListQuery = z
  .object({
    $top: z.coerce.number().int().min(1).optional(),
    $filter: text(FILTER_LIMIT).optional(),
    $skiptoken: text(CURSOR_LIMIT).optional(),
  })
  .transform(({ $top, $filter, $skiptoken }) =>
    withoutUndefined({
      limit: Math.min($top ?? PAGE_LIMIT, PAGE_LIMIT),
      filter: $filter,
      after: $skiptoken,
    }),
  );

/**
 * What a client may see of a page. One that is short of its size isn't the last for that.
 * @param path of the list
 */
export function serializeArmPage<Item, Presented>(
  { items, ...rest }: Page<Item>,
  {
    path,
    context,
    query,
  }: {
    readonly path: string;
    readonly context: RequestContext;
    readonly query: { readonly limit: number; readonly filter?: string };
  },
  isVisible: (item: Item) => boolean,
  present: (item: Item) => Presented,
) {
  const url = `https://${context.host.authority}${path}`;
  const again = {
    'api-version': apiVersionOf(context).name,
    $top: query.limit,
    $filter: query.filter,
  };
  return serializePage({ ...rest, items: items.filter(isVisible) }, url, again, present);
}
