import type { Field } from './field.ts';
import { median } from './figures.ts';

/** What single calls take where there are many keys, or many versions of one: one caller, one call at a time. */

export interface CostRow {
  readonly what: string;
  /** Medians, milliseconds. */
  readonly smallMs: number;
  readonly grownMs: number;
  /** grownMs / smallMs. */
  readonly ratio: number;
}

const SAMPLES = 60;
/** Before the first that counts. */
const UNCOUNTED = 5;
/** A page that is as long at each size. */
const PAGE = 10;
const PAGES_ON = 25;
const VERSIONS = { small: 30, grown: 1_000 };
const VALUE = Buffer.alloc(32, 7).toString('base64url');

interface Side {
  readonly field: Field;
  /** Names of keys that nobody has used yet. */
  readonly fresh: string[];
  /** A link to a page further on. */
  readonly page: string;
}

type Work = (side: Side, turn: number) => Promise<unknown>;

async function call(
  { service }: Field,
  method: string,
  path: string,
  body?: object,
): Promise<Readonly<Record<string, unknown>>> {
  const answer = await service.admin(method, path, body);
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
  return answer.text === '' ? {} : answer.json<Record<string, unknown>>();
}

const wrap = ({ field }: Side, name: string) =>
  call(field, 'POST', `/keys/${name}/wrapkey`, { alg: 'A256KW', value: VALUE });
const unused = ({ fresh }: Side) => fresh.pop() ?? '';

const BY_KEYS: Readonly<Record<string, Work>> = {
  'create a key (P-256)': ({ field }, turn) =>
    call(field, 'POST', `/keys/new-${turn + UNCOUNTED}/create`, { kty: 'EC-HSM' }),
  'get a key, the first time': (side) => call(side.field, 'GET', `/keys/${unused(side)}`),
  'get a key, again': ({ field }) => call(field, 'GET', '/keys/original'),
  'A256KW wrap, the first time': (side) => wrap(side, unused(side)),
  'A256KW wrap, again': (side) => wrap(side, 'original'),
  'list a page, the first': ({ field }) => call(field, 'GET', `/keys?maxresults=${PAGE}`),
  'list a page, further on': ({ field, page }) => call(field, 'GET', page),
  'random bytes (no key: how even the machine is)': ({ field }) =>
    call(field, 'POST', '/rng', { count: 32 }),
};

const BY_VERSIONS: Readonly<Record<string, Work>> = {
  'get the newest of many versions': ({ field }) => call(field, 'GET', '/keys/versions'),
  'list a page of versions': ({ field }) => call(field, 'GET', '/keys/versions/versions'),
  'A256KW wrap with the newest of many versions': (side) => wrap(side, 'versions'),
  'change a tag of the newest of many versions': ({ field }, turn) =>
    call(field, 'PATCH', '/keys/versions', { tags: { turn: String(turn) } }),
};

/** In turns on both, so that the machine's moods meet both. */
export async function measureCosts(
  few: Field,
  many: Field,
  say: (sentence: string) => void,
): Promise<readonly CostRow[]> {
  const small = await sideOf(few, VERSIONS.small);
  const grown = await sideOf(many, VERSIONS.grown);
  const rows: CostRow[] = [];
  for (const [what, work] of Object.entries({ ...BY_KEYS, ...BY_VERSIONS })) {
    const times = { small: [] as number[], grown: [] as number[] };
    for (let turn = -UNCOUNTED; turn < SAMPLES; turn += 1)
      for (const [name, side] of [
        ['small', small],
        ['grown', grown],
      ] as const) {
        const started = performance.now();
        await work(side, turn);
        if (turn >= 0) times[name].push(performance.now() - started);
      }
    const [smallMs, grownMs] = [median(times.small), median(times.grown)];
    rows.push({ what, smallMs, grownMs, ratio: grownMs / smallMs });
    say(`${what}: ${(grownMs / smallMs).toFixed(2)} times as long`);
  }
  return rows;
}

async function sideOf(field: Field, versions: number): Promise<Side> {
  const fresh = Array.from({ length: 2 * (SAMPLES + UNCOUNTED) }, (_, index) => `fresh-${index}`);
  await field.plantKeys(fresh);
  await field.plantKeys(Array.from({ length: versions }, () => 'versions'));
  return { field, fresh, page: await furtherPage(field) };
}

async function furtherPage(field: Field): Promise<string> {
  let link = `/keys?maxresults=${PAGE}`;
  for (let page = 0; page < PAGES_ON; page += 1) {
    const { nextLink } = await call(field, 'GET', link);
    if (typeof nextLink !== 'string') break;
    link = nextLink.replace(/^https:\/\/[^/]+/, '');
  }
  return link;
}
