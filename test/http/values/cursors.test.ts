import { randomBytes } from 'node:crypto';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createCursors } from '../../../src/http/values/cursors.ts';

const key = randomBytes(32);
const cursors = createCursors(key);
const LIST = ['KeyList', {}, []];
const open = (cursor: string, of: unknown = LIST) => cursors.open(of, cursor, 'query parameter');
const REFUSED = expect.objectContaining({ code: 'BadParameter' });

test('a cursor is opened by each process that has the key', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (place) => {
      const cursor = createCursors(key).seal(LIST, `x${place}`);
      expect(open(cursor)).toBe(`x${place}`);
    }),
  );
});

test('one of another pool, another list or another filter is refused', () => {
  const cursor = cursors.seal(LIST, 'place');
  expect(() => createCursors(randomBytes(32)).open(LIST, cursor, 'it')).toThrow(REFUSED);
  for (const other of ['KeyList', ['KeyList', {}, [['from', '2026']]], ['KeyListDeleted', {}, []]])
    expect(() => open(cursor, other)).toThrow(REFUSED);
});

test('one that was altered in any character is refused, and so is anything else', () => {
  const cursor = cursors.seal(LIST, 'a place');
  const altered = Array.from(cursor, (character, at) => ({ character, at })).flatMap(
    ({ character, at }) =>
      ['A', 'B', '_', '=', '']
        .filter((other) => other !== character)
        .map((other) => cursor.slice(0, at) + other + cursor.slice(at + 1)),
  );
  for (const one of altered) expect(() => open(one)).toThrow(REFUSED);
  for (const garbage of ['', 'x', 'A'.repeat(22), `${cursor}=`, `${cursor}A`, cursor.toUpperCase()])
    expect(() => open(garbage)).toThrow(REFUSED);
});
