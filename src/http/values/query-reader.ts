import { parse, type ParsedUrlQuery } from 'node:querystring';

/** Reads a query as Express's "simple" does, but for the names of options. */
export function readQuery(text: string | null): ParsedUrlQuery {
  return withPlainNames(parse(text ?? ''));
}

/** Options of the protocol itself, OData's and Azure's; others have the case that they are written in here. */
const OPTION = /^(?:\$|api-version$)/i;

/**
 * Options are named without regard to case (OData 4.01 §11.2.1): a `$Filter` that is passed over would answer more than
 * was asked for. One that comes in two spellings is there twice.
 */
function withPlainNames(query: ParsedUrlQuery): ParsedUrlQuery {
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

function plainNameOf(name: string): string {
  return OPTION.test(name) ? name.toLowerCase() : name;
}
