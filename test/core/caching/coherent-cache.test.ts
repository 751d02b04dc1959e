import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CoherentCache } from '../../../src/core/caching/coherent-cache.ts';
import { FakeChangeFeed } from '../../support/fakes/change-feed.ts';

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
    ['of everything', 'reset', ['a', 'b']],
  ] as const)('a change %s drops what it touches and no more', async (_, change, dropped) => {
    for (const key of ['a', 'b']) await get(key);
    feed.publish(change);
    loads = [];
    for (const key of ['a', 'b']) await get(key);
    expect(loads).toEqual(dropped);
  });
});

describe('a value that is being loaded while', () => {
  test.each([
    ['it changes', { topic: 'key', id: 'a' }],
    ['all of its kind change', { topic: 'role', id: 'x' }],
    ['everything may have changed', 'reset'],
  ] as const)('%s is given, but not kept', async (_, change) => {
    const { got, finish } = slowGet('a');
    feed.publish(change);
    finish('old');
    await expect(got).resolves.toBe('old');
    await expect(get('a', 'new')).resolves.toBe('new');
  });

  test('another changes is kept', async () => {
    const { got, finish } = slowGet('a');
    feed.publish({ topic: 'key', id: 'b' });
    finish('A');
    await expect(got).resolves.toBe('A');
    await expect(get('a', 'newer')).resolves.toBe('A');
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
    feed.publish({ topic: 'key', id: 'a' });
    await get('a', 'new');
    finish('old');
    await expect(got).resolves.toBe('old');
    await expect(get('a', 'newest')).resolves.toBe('new');
  });
});

describe('many who come at once', () => {
  /** Loads that end when they are told to, in their order. */
  const began: ((value: string | undefined) => void)[] = [];
  const slow = () => new Promise<string | undefined>((resolve) => began.push(resolve));
  beforeEach(() => {
    began.length = 0;
  });

  test('after a change cause one load, and all get what it brought', async () => {
    await get('a');
    feed.publish({ topic: 'key', id: 'a' });
    const reads = Array.from({ length: 50 }, () => cache.get('a', slow));
    expect(began).toHaveLength(1);
    began[0]?.('new');
    expect(new Set(await Promise.all(reads))).toEqual(new Set(['new']));
    expect(await get('a')).toBe('new');
  });

  test('of whom some come after another change: those get nothing that was loaded before it', async () => {
    const before = [cache.get('a', slow), cache.get('a', slow)];
    feed.publish({ topic: 'key', id: 'a' });
    const after = [cache.get('a', slow), cache.get('a', slow)];
    expect(began).toHaveLength(2);
    began[1]?.('new');
    expect(await Promise.all(after)).toEqual(['new', 'new']);
    began[0]?.('old');
    expect(await Promise.all(before)).toEqual(['old', 'old']);
    expect(await get('a')).toBe('new');
  });

  test('all fail with the load that fails, and whoever comes next loads again', async () => {
    const failing = () => {
      began.push(() => undefined);
      return new Promise<string>((_resolve, reject) => setImmediate(reject, new Error('away')));
    };
    const reads = Array.from({ length: 5 }, () => cache.get('a', failing));
    const settled = await Promise.allSettled(reads);
    expect([settled.map(({ status }) => status), began.length]).toEqual([
      Array.from({ length: 5 }, () => 'rejected'),
      1,
    ]);
    expect(await get('a')).toBe('A');
  });

  test('believe that something is missing only by a load that began after they came', async () => {
    const first = cache.get('a', slow);
    // It is made meanwhile, and nothing is published of it yet.
    const second = cache.get('a', () => Promise.resolve('made'));
    began[0]?.(undefined);
    expect(await Promise.all([first, second])).toEqual([undefined, 'made']);
  });

  test('load parts of one entry once each', async () => {
    const parts = new CoherentCache<Map<string, string>>(feed, 9, ({ id }) => ({ key: id }));
    const read = (part: string) =>
      parts.getPart('a', part, {
        find: (held) => held.get(part),
        load: slow,
        add: (held = new Map<string, string>(), value) => held.set(part, value),
      });
    const reads = [read('x'), read('y'), read('x'), read('y')];
    expect(began).toHaveLength(2);
    began[1]?.('Y');
    began[0]?.('X');
    expect(await Promise.all(reads)).toEqual(['X', 'Y', 'X', 'Y']);
    expect([await read('x'), await read('y'), began.length]).toEqual(['X', 'Y', 2]);
    feed.publish({ topic: 'key', id: 'a' });
    void read('x');
    expect(began).toHaveLength(3);
  });
});

describe('a value that is asked for anew', () => {
  const began: ((value: string) => void)[] = [];
  const renew = (key = 'a') =>
    cache.renew(key, () => new Promise<string>((resolve) => began.push(resolve)));
  const turn = () => new Promise(setImmediate);
  beforeEach(() => {
    began.length = 0;
  });

  test('is read although it is remembered, and is what is remembered then', async () => {
    await get('a', 'old');
    const renewed = renew();
    await turn();
    began[0]?.('new');
    expect([await renewed, await get('a')]).toEqual(['new', 'new']);
  });

  test('comes by a read that begins afterwards, which all share who came while another was under way', async () => {
    const first = renew();
    await turn();
    const others = Array.from({ length: 50 }, () => renew());
    await turn();
    expect(began).toHaveLength(1);
    began[0]?.('before');
    expect(await first).toBe('before');
    await turn();
    expect(began).toHaveLength(2);
    began[1]?.('after');
    expect(new Set(await Promise.all(others))).toEqual(new Set(['after']));
    expect(await get('a')).toBe('after');
  });

  test('is not overtaken by an older load that arrives later', async () => {
    const { got, finish } = slowGet('a');
    const renewed = renew();
    await turn();
    began[0]?.('new');
    await renewed;
    finish('old');
    await got;
    expect(await get('a', 'newest')).toBe('new');
  });

  test('waits where many keys are asked for anew, and is refused where too many wait', async () => {
    const reads = Array.from({ length: 1_200 }, (_, index) =>
      renew(`key-${index}`).then(
        () => 'read',
        (error: unknown) => (error as { code: string }).code,
      ),
    );
    for (let ended = 0; ended < 1_000; ended += 1) {
      await turn();
      // Two at once, at most.
      expect(began.length - ended).toBeLessThanOrEqual(2);
      began[ended]?.('value');
    }
    const results = await Promise.all(reads);
    const count = (what: string) => results.filter((result) => result === what).length;
    expect([count('read'), count('Overloaded')]).toEqual([1_000, 200]);
  }, 30_000);
});

describe('an entry with tags', () => {
  const held = (key: string, tags: readonly string[]) =>
    cache.get(
      key,
      () => {
        loads.push(key);
        return Promise.resolve(key);
      },
      tags,
    );
  const all = async () => {
    loads = [];
    await held('one', ['alice', 'staff']);
    await held('two', ['bob', 'staff']);
    await held('three', ['carol', 'others']);
    return loads;
  };

  test.each([
    ['alice', ['one']],
    ['staff', ['one', 'two']],
    ['others', ['three']],
    ['nobody', []],
    ['one', ['one']],
  ])('is dropped by a change of any of them: of %s', async (id, dropped) => {
    await all();
    expect(await all()).toEqual([]);
    feed.publish({ topic: 'key', id });
    expect(await all()).toEqual(dropped);
    expect(await all()).toEqual([]);
  });

  test('is found by its tags however often it gave way and came back', async () => {
    for (let round = 0; round < 10; round += 1)
      for (const key of ['one', 'two', 'three', 'four', 'five']) await held(key, [key, 'staff']);
    feed.publish({ topic: 'key', id: 'staff' });
    expect(cache.size).toBe(0);
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

  test('what was held before is good again afterwards, if nothing was published meanwhile', async () => {
    feed.coherent = true;
    await expect(get('a', 'newer')).resolves.toBe('A');
  });

  test('a gap, published as a reset, drops what was held before', async () => {
    feed.publish('reset');
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

test('whatever happens in whatever order, a read that begins after a change was published is not older than it', async () => {
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
          // A feed that is cut off publishes nothing: it makes up for that when it is mended.
          if (feed.coherent) feed.publish({ topic: 'key', id: key });
        } else if (what === 'cut') feed.coherent = false;
        else if (!feed.coherent) {
          feed.publish('reset');
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
