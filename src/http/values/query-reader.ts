import { parse, type ParsedUrlQuery } from 'node:querystring';
import { z } from 'zod';

/** Reads a query as Express's "simple" does, but for the names of the protocol's own options, OData's and Azure's. */
export function readQuery(text: string | null): ParsedUrlQuery {
  return withPlainNames(parse(text ?? ''), (name) =>
    OPTION.test(name) ? name.toLowerCase() : name,
  );
}

const OPTION = /^(?:\$|api-version$)/i;

/**
 * Gives a query's parameters the names that a route's schema has for them, without regard to case, as Azure takes them:
 * a filter that is passed over for its spelling would answer more than was asked for.
 * @throws Error where a schema's names can't be told: a route declares them
 */
export function createNameReader(schema: z.ZodType): (query: ParsedUrlQuery) => ParsedUrlQuery {
  const names = new Map(namesOf(schema).map((name) => [name.toLowerCase(), name]));
  return (query) => withPlainNames(query, (name) => names.get(name.toLowerCase()) ?? name);
}

function namesOf(schema: z.core.$ZodType): readonly string[] {
  if (schema instanceof z.ZodObject) return Object.keys(schema.shape);
  if (schema instanceof z.ZodIntersection)
    return [...namesOf(schema.def.left), ...namesOf(schema.def.right)];
  if (schema instanceof z.ZodPipe) return namesOf(schema.def.in);
  throw new Error(`the names of a ${schema._zod.def.type} schema are not known`);
}

/** One that comes in two spellings is there twice (OData 4.01 §11.2.1). */
function withPlainNames(
  query: ParsedUrlQuery,
  plainNameOf: (name: string) => string,
): ParsedUrlQuery {
  const names = Object.keys(query);
  if (names.every((name) => plainNameOf(name) === name)) return query;
  const values = new Map<string, string[]>();
  for (const name of names) {
    const plain = plainNameOf(name);
    values.set(plain, [...(values.get(plain) ?? []), ...[query[name] ?? []].flat()]);
  }
  return Object.fromEntries(
    [...values].map(([name, all]) => [name, all.length === 1 ? all[0] : all]),
  );
}
