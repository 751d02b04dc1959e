import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CoherentCache } from '../../src/core/coherent-cache.ts';
import { FakeChangeFeed } from '../support/fakes/change-feed.ts';

let feed: FakeChangeFeed;
let cache: CoherentCache<string>;
let loads: string[];

const open = (limit: number) =>
  new CoherentCache<string>(feed, limit, ({ topic, id }) => {
    if (topic === 'role') return 'all';
    return topic === 'key' ? { key: id } : undefined;
  });

beforeEach(() => {
  feed = new FakeChangeFeed();
  cache = open(3);
  loads = [];
});

const get = (key: string, value: string | undefined = key.toUpperCase()) =>
  cache.get(key, () => {
    loads.push(key);
    return Promise.resolve(value);
  });

/** A load that ends when it is told to. */
function slowGet(key: string) {
  let finish: (value: string) => void = () => undefined;
  const loading = new Promise<string>((resolve) => {
    finish = resolve;
  });
  return { got: cache.get(key, () => loading), finish };
}

describe('while the feed is coherent', () => {
  test('a value is loaded once', async () => {
    expect([await get('a'), await get('a', 'newer'), loads]).toEqual(['A', 'A', ['a']]);
  });

  test('what is missing is looked for again', async () => {
    await expect(cache.get('a', () => Promise.resolve(undefined))).resolves.toBeUndefined();
    await expect(get('a')).resolves.toBe('A');
    expect(cache.size).toBe(1);
  });

  test('a load that fails fails its caller, and leaves nothing behind', async () => {
    const failure = new Error('unreachable');
    await expect(cache.get('a', () => Promise.reject(failure))).rejects.toBe(failure);
    await expect(get('a')).resolves.toBe('A');
  });

  test.each([
    ['of the entry', { topic: 'key', id: 'a' }, ['a']],
    ['of another entry', { topic: 'key', id: 'b' }, ['b']],
    ['of an entry that is not held', { topic: 'key', id: 'x' }, []],
    ['of something else', { topic: 'directory', id: 'a' }, []],
    ['that touches all', { topic: 'role', id: 'x' }, ['a', 'b']],
    ['of everything', 'everything', ['a', 'b']],
  ] as const)('a change %s drops what it touches and no more', async (_, change, dropped) => {
    for (const key of ['a', 'b']) await get(key);
    feed.tell(change);
    loads = [];
    for (const key of ['a', 'b']) await get(key);
    expect(loads).toEqual(dropped);
  });
});

describe('a value that is being loaded while', () => {
  test.each([
    ['it changes', { topic: 'key', id: 'a' }],
    ['another changes', { topic: 'key', id: 'b' }],
    ['everything may have changed', 'everything'],
  ] as const)('%s is given, but not kept', async (_, change) => {
    const { got, finish } = slowGet('a');
    feed.tell(change);
    finish('old');
    await expect(got).resolves.toBe('old');
    await expect(get('a', 'new')).resolves.toBe('new');
  });

  test('the feed is cut off is given, but not kept', async () => {
    const { got, finish } = slowGet('a');
    feed.coherent = false;
    finish('old');
    await expect(got).resolves.toBe('old');
    feed.coherent = true;
    await expect(get('a', 'new')).resolves.toBe('new');
  });

  test('a newer one is kept does not take its place', async () => {
    const { got, finish } = slowGet('a');
    feed.tell({ topic: 'key', id: 'a' });
    await get('a', 'new');
    finish('old');
    await expect(got).resolves.toBe('old');
    await expect(get('a', 'newest')).resolves.toBe('new');
  });
});

describe('while the feed is cut off', () => {
  beforeEach(async () => {
    await get('a');
    feed.coherent = false;
    loads = [];
  });

  test('every read is a load, and nothing is kept of it', async () => {
    expect([await get('a', '1'), await get('a', '2'), await get('b')]).toEqual(['1', '2', 'B']);
    expect([loads, cache.size]).toEqual([['a', 'a', 'b'], 1]);
  });

  test('what was held before is good again afterwards, if nothing was told meanwhile', async () => {
    feed.coherent = true;
    await expect(get('a', 'newer')).resolves.toBe('A');
  });

  test('a gap, told as a change of everything, drops what was held before', async () => {
    feed.tell('everything');
    feed.coherent = true;
    await expect(get('a', 'newer')).resolves.toBe('newer');
  });
});

describe('the limit', () => {
  test('makes the entry least recently read give way', async () => {
    for (const key of ['a', 'b', 'c', 'a', 'd']) await get(key);
    expect(cache.size).toBe(3);
    loads = [];
    for (const key of ['a', 'c', 'd', 'b']) await get(key);
    expect(loads).toEqual(['b']);
  });

  test('holds when loads overlap', async () => {
    await Promise.all(Array.from({ length: 50 }, (_, index) => get(`key-${index}`)));
    expect(cache.size).toBe(3);
  });

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('of %d is refused', (limit) => {
    expect(() => open(limit)).toThrow(RangeError);
  });
});

test('whatever happens in whatever order, a read that begins after a change was told is not older than it', async () => {
  const keys = ['a', 'b', 'c', 'd', 'e'];
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant('read'), key: fc.constantFrom(...keys) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('land'), key: fc.constantFrom(...keys) }) },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant('change'), key: fc.constantFrom(...keys) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('cut'), key: fc.constant('') }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('mend'), key: fc.constant('') }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      feed = new FakeChangeFeed();
      const numbers = new CoherentCache<number>(feed, 3, ({ id }) => ({ key: id }));
      const store = new Map(keys.map((key) => [key, 0]));
      const landings: (() => void)[] = [];
      const reads: Promise<boolean>[] = [];
      for (const { do: what, key } of steps) {
        if (what === 'read') {
          const least = store.get(key) ?? 0;
          const read = numbers.get(key, () => {
            const value = store.get(key);
            return new Promise((resolve) => {
              landings.push(() => {
                resolve(value);
              });
            });
          });
          reads.push(read.then((value) => (value ?? -1) >= least));
        } else if (what === 'land') landings.shift()?.();
        else if (what === 'change') {
          store.set(key, (store.get(key) ?? 0) + 1);
          // A feed that is cut off tells nothing: it makes up for that when it is mended.
          if (feed.coherent) feed.tell({ topic: 'key', id: key });
        } else if (what === 'cut') feed.coherent = false;
        else if (!feed.coherent) {
          feed.tell('everything');
          feed.coherent = true;
        }
        await new Promise(setImmediate);
        expect(numbers.size).toBeLessThanOrEqual(3);
      }
      for (const land of landings) land();
      expect(await Promise.all(reads)).not.toContain(false);
    }),
    { numRuns: 300 },
  );
});
