import { expect, test } from '@jest/globals';
import { createFairLimit } from '../../../src/identity/clients/fair-limit.ts';

/** Work that ends when it is told to; `done` has whose it was, in the order in which it began. */
function workshop(limits: { atOnce: number; waiting: number }) {
  const takeTurn = createFairLimit(limits);
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  return {
    begun,
    /** In capitals for those who are known. */
    take: (of: string): Promise<string> =>
      takeTurn({ of, class: /[A-Z]/.test(of) ? 'known' : 'stranger' }, async () => {
        begun.push(of);
        await new Promise<void>((resolve) => ends.push(resolve));
        return of;
      }),
    endAll: async (): Promise<void> => {
      while (ends.length > 0) {
        ends.shift()?.();
        await new Promise(setImmediate);
      }
    },
  };
}
const overloaded = { code: 'Overloaded' };

test('each has its turn before another has its second one', async () => {
  const { take, begun, endAll } = workshop({ atOnce: 1, waiting: 20 });
  const all = 'aaaabbc'.split('').map(take);
  await endAll();
  await Promise.all(all);
  // The first one didn't have to wait.
  expect(begun.join('')).toBe('aabcaba');
});

test('so many are done at once, and so many wait', async () => {
  const { take, begun, endAll } = workshop({ atOnce: 2, waiting: 3 });
  const all = 'aaaaa'.split('').map(take);
  await expect(take('a')).rejects.toMatchObject(overloaded);
  expect(begun).toHaveLength(2);
  await endAll();
  await Promise.all(all);
  const again = take('a');
  await endAll();
  await expect(again).resolves.toBe('a');
});

test('who has the most waiting gives way to who comes anew, and nobody else does', async () => {
  const { take, begun, endAll } = workshop({ atOnce: 1, waiting: 4 });
  const [first, ...waiting] = 'aaaab'.split('').map(take);
  const last = waiting[2];
  const newcomer = take('c');
  await expect(last).rejects.toMatchObject(overloaded);
  // Now it has no more than one more than others: nobody takes more from it.
  await expect(take('b')).rejects.toMatchObject(overloaded);
  await endAll();
  await Promise.all([first, waiting[0], waiting[1], waiting[3], newcomer]);
  expect(begun.join('')).toBe('aabca');
});

test('work that fails gives its place to the next', async () => {
  const takeTurn = createFairLimit({ atOnce: 1, waiting: 1 });
  const failing = takeTurn({ of: 'a', class: 'stranger' }, () =>
    Promise.reject(new Error('it fails')),
  );
  const next = takeTurn({ of: 'a', class: 'stranger' }, () => Promise.resolve('done'));
  await expect(failing).rejects.toThrow('it fails');
  await expect(next).resolves.toBe('done');
});

test('who is known goes ahead of all strangers, and finds room however many of them wait', async () => {
  const { take, begun, endAll } = workshop({ atOnce: 1, waiting: 4 });
  const all = 'abcdeKKM'.split('').map(take);
  await endAll();
  await Promise.all(all);
  expect(begun.join('')).toBe('aKMKbcde');
});
