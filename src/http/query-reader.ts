import { parse, type ParsedUrlQuery } from 'node:querystring';
import { LRUCache } from 'lru-cache';

const REMEMBERED = 100;
const TEXT_LIMIT = 100;

/** Reads queries as Express's "simple" does, but those that come again and again, as `api-version=7.6` does, only once. */
export function createQueryReader(): (text: string | null) => Readonly<ParsedUrlQuery> {
  const known = new LRUCache<string, Readonly<ParsedUrlQuery>>({ max: REMEMBERED });
  return (text) => {
    const before = known.get(text ?? '');
    if (before !== undefined) return before;
    const query = Object.freeze(parse(text ?? ''));
    if (text !== null && text.length <= TEXT_LIMIT) known.set(text, query);
    return query;
  };
}
