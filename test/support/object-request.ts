export interface ObjectRequest {
  readonly method: string;
  readonly container: string;
  /** Of the object in it; empty for the container itself. */
  readonly name: string;
  readonly query: URLSearchParams;
  readonly header: (name: string) => string | undefined;
  readonly body: Buffer;
}

export interface ObjectResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: string | Buffer;
}

/** What goes wrong with a request: no answer, half of one, a connection that ends, or another answer. */
export type Fault = (
  request: ObjectRequest,
) => 'hang' | 'cut' | 'reset' | ObjectResponse | undefined;

/** The objects of a container below a prefix; with a delimiter, what they have in common up to it instead. */
export function listObjects(
  objects: ReadonlyMap<string, Buffer>,
  container: string,
  query: URLSearchParams,
): { readonly names: readonly string[]; readonly prefixes: readonly string[] } {
  const prefix = query.get('prefix') ?? '';
  const delimiter = query.get('delimiter') ?? '';
  const found = [...objects.keys()]
    .filter((name) => name.startsWith(`${container}/${prefix}`))
    .map((name) => name.slice(container.length + 1))
    .sort();
  if (delimiter === '') return { names: found, prefixes: [] };
  const endOf = (name: string) => name.indexOf(delimiter, prefix.length);
  return {
    names: found.filter((name) => endOf(name) < 0),
    prefixes: [
      ...new Set(
        found.filter((name) => endOf(name) >= 0).map((name) => name.slice(0, endOf(name) + 1)),
      ),
    ],
  };
}

/** A part of an object, as a Range header asks for it. */
export function partOf(object: Buffer, range: string | undefined): ObjectResponse {
  const common = { etag: '"1"', 'last-modified': new Date(0).toUTCString() };
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
  if (first === undefined) return { status: 200, headers: common, body: object };
  const end = last === undefined || last === '' ? object.length - 1 : Number(last);
  if (Number(first) >= object.length) return { status: 416 };
  return {
    status: 206,
    headers: { ...common, 'content-range': `bytes ${first}-${end}/${object.length}` },
    body: object.subarray(Number(first), end + 1),
  };
}
