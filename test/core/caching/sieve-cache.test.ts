import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SieveCache } from '../../../src/core/caching/sieve-cache.ts';

/** The cache with what was asked of `dispose`. */
function open(limit: number) {
  const disposed: string[] = [];
  const cache = new SieveCache<string>({
    limit,
    weigh: (value) => value.length,
    dispose: (value) => disposed.push(value),
  });
  return { cache, disposed };
}

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f'];

const held = (cache: SieveCache<string>) =>
  KEYS.filter((key) => cache.peek(key) !== undefined).join('');

/** One that has been given so many of the keys. */
function fill(limit: number, count: number): SieveCache<string> {
  const cache = new SieveCache<string>({ limit });
  for (const key of KEYS.slice(0, count)) cache.set(key, key);
  return cache;
}

describe('what gives way', () => {
  test('is the oldest where nothing was used', () => {
    expect(held(fill(3, 5))).toBe('cde');
  });

  test('is not what was used since the hand came by', () => {
    const cache = fill(3, 3);
    cache.get('a');
    cache.set('d', 'd');
    expect(held(cache)).toBe('acd');
  });

  test('is, the next time, what was spared and not used again', () => {
    const cache = fill(3, 3);
    for (const key of ['a', 'b', 'c']) cache.get(key);
    for (const key of ['d', 'e']) cache.set(key, key);
    expect(held(cache)).toBe('cde');
  });

  test('is not decided by a look without a use', () => {
    const cache = fill(3, 3);
    cache.peek('a');
    cache.set('d', 'd');
    expect(held(cache)).toBe('bcd');
  });

  test('are as many as the weight of a new one takes', () => {
    const { cache, disposed } = open(4);
    for (const [key, value] of Object.entries({ a: 'a', b: 'bb', c: 'c', d: 'ddd' }))
      cache.set(key, value);
    expect([held(cache), disposed]).toEqual(['cd', ['a', 'bb']]);
  });

  test('is what alone is too heavy, and nothing else', () => {
    const { cache, disposed } = open(4);
    cache.set('a', 'a');
    cache.set('b', 'bbbbb');
    expect([held(cache), disposed]).toEqual(['a', ['bbbbb']]);
  });

  test('is what has become too heavy', () => {
    const lists = new SieveCache<string[]>({ limit: 3, weigh: (list) => list.length });
    const list = ['1'];
    lists.set('a', list);
    lists.set('b', ['1']);
    lists.get('a');
    list.push('2', '3');
    lists.reweigh('a');
    expect([lists.peek('a'), lists.peek('b')]).toEqual([list, undefined]);
    list.push('4');
    lists.reweigh('a');
    expect(lists.size).toBe(0);
  });
});

test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
  'a limit of %d is refused',
  (limit) => {
    expect(() => open(limit)).toThrow(RangeError);
  },
);

test('whatever is done, the limit holds, and each value is either held or was disposed of once', () => {
  const key = fc.constantFrom(...KEYS);
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.tuple(fc.constant('set' as const), key, fc.integer({ min: 1, max: 5 })),
    },
    { weight: 4, arbitrary: fc.tuple(fc.constant('get' as const), key) },
    { weight: 2, arbitrary: fc.tuple(fc.constant('delete' as const), key) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('clear' as const)) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const { cache, disposed } = open(8);
      const given: string[] = [];
      for (const [index, taken] of steps.entries()) {
        if (taken[0] === 'set') {
          const value = `${index}`.padEnd(taken[2], '-').slice(0, 5);
          given.push(value);
          cache.set(taken[1], value);
        } else if (taken[0] === 'get') cache.get(taken[1]);
        else if (taken[0] === 'delete') cache.delete(taken[1]);
        else cache.clear();
        const values = KEYS.flatMap((each) => cache.peek(each) ?? []);
        expect(values).toHaveLength(cache.size);
        expect(values.join('').length).toBeLessThanOrEqual(8);
        expect([...values, ...disposed].sort()).toEqual([...given].sort());
      }
    }),
  );
});
