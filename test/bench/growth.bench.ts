import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { parseKeyName, parseKeyVersionId } from '../../src/core/key.ts';
import { openPlanter, type Planter } from '../support/planter.ts';
import { type ProductionService, startProduction } from '../support/production.ts';

/**
 * What a key costs where there are many: `npm run bench:growth` prints the median cost of each operation at several numbers
 * of keys, as a ratio to that at the least. STRONGROOM_GROWTH names other numbers than 10,1000,100000.
 *
 * The many keys hold the same AES-256 key, made once by the service: each has its own name, version and seal, made by the
 * pool's root key in the HSM, so that the service reads, lists and uses each like any other. PostgreSQL does not wait for
 * its disk here (fsync is off): a wait that is always the same would hide what grows.
 */

const SIZES = (process.env['STRONGROOM_GROWTH'] ?? '10,1000,100000').split(',').map(Number);
/** Versions of one key: more than a page has. */
const VERSIONS = [30, 1000];
/** A page that is as long at each size. */
const PAGE = 10;
const SAMPLES = 200;
/** Keys that nobody has asked for yet, planted anew for each round of first uses. */
const FRESH = 10;
const CHUNK = 1000;

let production: ProductionService;
let planter: Planter;
let planted = 0;

beforeAll(async () => {
  production = await startProduction({ STRONGROOM_WORKERS: '1' });
  planter = await openPlanter(production.database.serviceUrl);
}, 60_000);
afterAll(async () => {
  await planter.close();
  await production.stop();
});

const newVersion = () => parseKeyVersionId(randomBytes(16).toString('hex'));
const value = randomBytes(32).toString('base64url');

async function call(method: string, path: string, body?: object): Promise<{ nextLink?: string }> {
  const answer = await production.admin(method, path, body);
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
  return answer.text === '' ? {} : answer.json();
}

/** Copies of the key `original`, one for each name. */
async function plantCopies(names: readonly string[], isVersions = false): Promise<void> {
  const { material } = await planter.read('original');
  const { identity, spec, sealed } = material;
  for (let from = 0; from < names.length; from += CHUNK)
    await planter.plant(
      names.slice(from, from + CHUNK).map((name) => ({
        identity: { ...identity, name: parseKeyName(name), version: newVersion() },
        spec,
        blob: sealed.blob,
        ...(sealed.macBlob !== undefined && { macBlob: sealed.macBlob }),
      })),
    );
  if (!isVersions) planted += names.length;
}

async function growTo(size: number): Promise<void> {
  const names = Array.from({ length: size - planted }, (_, index) => nameOf(planted + index));
  await plantCopies(names);
  await planter.analyze();
}
// Spread over the alphabet, as people's names are.
const nameOf = (index: number) => `k${((index * 2654435761) % 2 ** 32).toString(16)}-${index}`;
const anyName = () => nameOf(Math.floor(Math.random() * planted));

async function median(
  work: (turn: number) => Promise<unknown>,
  samples = SAMPLES,
  after: (turn: number) => Promise<unknown> = () => Promise.resolve(),
): Promise<number> {
  const times: number[] = [];
  for (let turn = -10; turn < samples; turn += 1) {
    const started = performance.now();
    await work(turn);
    if (turn >= 0) times.push(performance.now() - started);
    await after(turn);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
}

/** Over keys that this process has not seen: as many as FRESH are replaced at a time, so that their number stays. */
async function medianOfFirst(work: (name: string) => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < SAMPLES / FRESH; round += 1) {
    const names = Array.from({ length: FRESH }, () => `fresh-${randomBytes(6).toString('hex')}`);
    const given = Array.from({ length: FRESH }, (_, index) => nameOf(index));
    await planter.uproot(given);
    await plantCopies(names, true);
    for (const name of names) {
      const started = performance.now();
      await work(name);
      times.push(performance.now() - started);
    }
    await planter.uproot(names);
    await plantCopies(given, true);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
}

const wrap = (name: string) => call('POST', `/keys/${name}/wrapkey`, { alg: 'A256KW', value });

/** A link from the middle of the list. */
async function middlePage(): Promise<string> {
  let link = `/keys?maxresults=${PAGE}`;
  for (let page = 0; page < Math.min(50, planted / PAGE / 2); page += 1) {
    const { nextLink } = await call('GET', link);
    if (nextLink === undefined) break;
    link = nextLink.replace(/^https:\/\/[^/]+/, '');
  }
  return link;
}

async function measure(): Promise<Record<string, number>> {
  const page = await middlePage();
  return {
    'create a key (P-256)': await median(
      (turn) => call('POST', `/keys/new-${turn + 10}/create`, { kty: 'EC' }),
      SAMPLES,
      async (turn) => {
        await call('DELETE', `/keys/new-${turn + 10}`);
        await call('DELETE', `/deletedkeys/new-${turn + 10}`);
      },
    ),
    'get a key, the first time': await medianOfFirst((name) => call('GET', `/keys/${name}`)),
    'get a key, again': await median(() => call('GET', `/keys/${nameOf(3)}`)),
    'list a page, the first': await median(() => call('GET', `/keys?maxresults=${PAGE}`)),
    'list a page, further on': await median(() => call('GET', page)),
    'A256KW wrap, the first time': await medianOfFirst(wrap),
    'A256KW wrap, again': await median(() => wrap(nameOf(3))),
    'random bytes (no key: how even the machine is)': await median(() =>
      call('POST', '/rng', { count: 32 }),
    ),
  };
}

/** By number of versions of one key. */
async function measureVersions(name: string): Promise<Record<string, number>> {
  return {
    'get the newest': await median(() => call('GET', `/keys/${name}`)),
    'list a page of versions': await median(() => call('GET', `/keys/${name}/versions`)),
    'A256KW wrap with the newest': await median(() => wrap(name)),
    'change a tag': await median((turn) =>
      call('PATCH', `/keys/${name}`, { tags: { turn: String(turn) } }),
    ),
    // Last, since it adds some.
    'create a version (oct 256)': await median(
      () => call('POST', `/keys/${name}/create`, { kty: 'oct' }),
      SAMPLES / 4,
    ),
  };
}

function print(
  title: string,
  columns: readonly string[],
  results: readonly Record<string, number>[],
) {
  const [first = {}] = results;
  const rows = Object.keys(first).map((operation) => {
    const least = first[operation] ?? 1;
    const ratios = results.map((result) => ((result[operation] ?? 0) / least).toFixed(2));
    return `| ${operation} | ${least.toFixed(2)} | ${ratios.join(' | ')} |`;
  });
  process.stdout.write(
    [
      `\n| ${title} | ms at ${columns[0] ?? ''} | ${columns.join(' | ')} |`,
      `| --- | ${'---: | '.repeat(columns.length + 1)}`.trimEnd(),
      ...rows,
      '',
    ].join('\n'),
  );
}

test('the cost of keys by their number', async () => {
  await call('POST', '/keys/original/create', { kty: 'oct' });
  const results: Record<string, number>[] = [];
  for (const size of SIZES) {
    await growTo(size);
    // The first time warms the process up; each time it is seen that any of the many can be used.
    if (results.length === 0) await measure();
    for (let turn = 0; turn < 20; turn += 1) await wrap(anyName());
    results.push(await measure());
  }
  print(
    'ratio to the fewest keys',
    SIZES.map((size) => `${size} keys`),
    results,
  );
  expect(results).toHaveLength(SIZES.length);
}, 3_600_000);

test('the cost of a key by the number of its versions', async () => {
  const results: Record<string, number>[] = [];
  for (const count of VERSIONS) {
    await plantCopies(
      Array.from({ length: count }, () => `versions-${count}`),
      true,
    );
    await planter.analyze();
    results.push(await measureVersions(`versions-${count}`));
  }
  print(
    'ratio to the fewest versions',
    VERSIONS.map((count) => `${count} versions`),
    results,
  );
  expect(results).toHaveLength(VERSIONS.length);
}, 3_600_000);
