import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  decodeShare,
  encodeShare,
} from '../../../../src/core/recovery/security-domain/share-bytes.ts';

const share = fc.record({
  number: fc.integer({ min: 1, max: 126 }),
  values: fc
    .array(fc.integer({ min: 0, max: 256 }), { minLength: 32, maxLength: 32 })
    .map((values) => Uint16Array.from(values)),
});
const GOOD = encodeShare({ number: 3, values: new Uint16Array(32).fill(256) });
const withWord = (word: number) => {
  const bytes = Buffer.from(GOOD);
  bytes.writeUInt16LE(word, 10);
  return bytes;
};

test('a share is read as it was written', () => {
  fc.assert(
    fc.property(share, (made) => {
      expect(decodeShare(encodeShare(made), 32)).toEqual(made);
    }),
  );
});

test('a value of 256 keeps its ninth bit', () => {
  expect(decodeShare(GOOD, 32)?.values).toEqual(new Uint16Array(32).fill(256));
});

test.each([
  ['is cut', GOOD.subarray(0, 63)],
  ['is too long', Buffer.concat([GOOD, GOOD.subarray(0, 2)])],
  ['has a value beyond the field', withWord((3 << 9) | 257)],
  ['has the number of another share in one word', withWord((2 << 9) | 7)],
  ['has the number 0', Buffer.alloc(64)],
  ['has a number beyond 126', Buffer.alloc(64, 0xfe)],
])('a share that %s is none', (_what, bytes) => {
  expect(decodeShare(bytes, 32)).toBeUndefined();
});
