import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  invert,
  multiply,
  PRIME,
} from '../../../../src/core/recovery/security-domain/prime-field.ts';
import {
  combineShares,
  type Share,
  splitSecret,
} from '../../../../src/core/recovery/security-domain/secret-sharing.ts';
import {
  decodeShare,
  encodeShare,
} from '../../../../src/core/recovery/security-domain/share-bytes.ts';

const ELEMENTS = Array.from({ length: PRIME }, (_, element) => element);
/** Random bytes that give these elements of the field, one after the other. */
const giving = (elements: Iterable<number>) => {
  const left = elements[Symbol.iterator]();
  return () => {
    const element = Number(left.next().value);
    return Uint8Array.of(element >> 8, element & 255);
  };
};
const pairsOf = <One>(all: readonly One[]) =>
  all.flatMap((one, index) => all.slice(index + 1).map((other) => [one, other] as const));

test('each element of the field but 0 has its inverse', () => {
  const products = ELEMENTS.slice(1).map((element) => multiply(element, invert(element)));
  expect(new Set(products)).toEqual(new Set([1]));
});

describe('of three shares, two required, for each byte and each polynomial that there is:', () => {
  // All 256 bytes with all 257 coefficients, as one secret.
  const secret = Uint8Array.from({ length: 256 * PRIME }, (_, place) => place / PRIME);
  const shares = splitSecret(
    secret,
    { shares: 3, required: 2 },
    giving([...secret].map((_, place) => place % PRIME)),
  );

  test('any two give the secret, in either order, and so do all three', () => {
    for (const [one, other] of pairsOf(shares)) {
      expect(Buffer.compare(combineShares([one, other], 2) ?? secret.subarray(1), secret)).toBe(0);
      expect(Buffer.compare(combineShares([other, one], 2) ?? secret.subarray(1), secret)).toBe(0);
    }
    expect(Buffer.compare(combineShares(shares, 2) ?? secret.subarray(1), secret)).toBe(0);
  });

  test('one says nothing: whatever the byte is, each value is as likely as any other', () => {
    for (const { values } of shares)
      for (let byte = 0; byte < 256; byte += 1)
        expect(new Set(values.subarray(byte * PRIME, (byte + 1) * PRIME)).size).toBe(PRIME);
  });
});

describe('of four shares, three required, for a byte and each polynomial that there is:', () => {
  const byte = 0xa5;
  const secret = new Uint8Array(PRIME ** 2).fill(byte);
  const shares = splitSecret(
    secret,
    { shares: 4, required: 3 },
    giving(ELEMENTS.flatMap((first) => ELEMENTS.flatMap((second) => [first, second]))),
  );

  test('any three give the secret', () => {
    for (const { number } of shares) {
      const three = shares.filter((share) => share.number !== number);
      expect(Buffer.compare(combineShares(three, 3) ?? secret.subarray(1), secret)).toBe(0);
    }
  });

  test('two say nothing: each pair of values comes from one polynomial', () => {
    for (const [{ values: ones }, { values: others }] of pairsOf(shares)) {
      const seen = new Set(Array.from(ones, (one, place) => one * PRIME + (others[place] ?? 0)));
      expect(seen.size).toBe(PRIME ** 2);
    }
  });
});

test('each coefficient is as likely as any other', () => {
  // Every two bytes that there can be. The last, 0xffff, is drawn anew, and so one secret byte is left over.
  const all = Array.from({ length: 65_536 }, (_, drawn) => drawn).reverse();
  const secret = new Uint8Array(65_535);
  // Of the secret 0, the first share has the coefficient itself.
  const [first] = splitSecret(secret, { shares: 3, required: 2 }, giving(all));
  const counts = new Map<number, number>();
  for (const value of first?.values ?? []) counts.set(value, (counts.get(value) ?? 0) + 1);
  expect([counts.size, new Set(counts.values())]).toEqual([PRIME, new Set([255])]);
});

test('a secret comes back from any shares that are enough, for each quorum that a domain can have', () => {
  const quorum = fc.integer({ min: 3, max: 10 }).chain((shares) =>
    fc.record({
      shares: fc.constant(shares),
      required: fc.integer({ min: 2, max: shares }),
      order: fc.shuffledSubarray(ELEMENTS.slice(0, shares), { minLength: shares }),
      secret: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    }),
  );
  fc.assert(
    fc.property(quorum, ({ shares, required, order, secret }) => {
      const made = splitSecret(secret, { shares, required }, randomBytes);
      const some = order.slice(0, required).flatMap((index) => made.slice(index, index + 1));
      expect(combineShares(some, required)).toEqual(secret);
    }),
    { numRuns: 200 },
  );
});

test('shares that do not belong together are found out where there is one more than is required', () => {
  const [one, two] = splitSecret(randomBytes(32), { shares: 3, required: 2 }, randomBytes);
  const [, , foreign] = splitSecret(randomBytes(32), { shares: 3, required: 2 }, randomBytes);
  expect(combineShares([one, two, foreign] as Share[], 2)).toBeUndefined();
});

test('values that meet in no byte are no shares of a secret', () => {
  // The line through (1, 256) and (2, 256) is at 256 where the secret would be.
  const values = Uint16Array.of(256);
  expect(
    combineShares(
      [
        { number: 1, values },
        { number: 2, values },
      ],
      2,
    ),
  ).toBeUndefined();
});

test.each([
  [3, 1],
  [2, 3],
  [127, 2],
])('%i shares of which %i are required are refused', (shares, required) => {
  expect(() => splitSecret(randomBytes(1), { shares, required }, randomBytes)).toThrow(RangeError);
});

describe("what az's functions have shared", () => {
  const { shares: vectors } = JSON.parse(
    readFileSync(new URL('./azure-vectors.json', import.meta.url), 'utf8'),
  ) as {
    shares: { required: number; byte: number; coefficients: number[]; words: number[] }[];
  };
  const bytesOf = (word: number) => Uint8Array.of(word & 255, word >> 8);

  test.each(vectors)(
    '$byte for a quorum of $required: the same coefficients give the same words',
    ({ required, byte, coefficients, words }) => {
      const quorum = { shares: words.length, required };
      const made = splitSecret(Uint8Array.of(byte), quorum, giving(coefficients));
      expect(made.map(encodeShare)).toEqual(words.map((word) => Buffer.from(bytesOf(word))));
    },
  );

  test.each(vectors)(
    '$byte for a quorum of $required: the first and the last words give the byte',
    ({ required, byte, words }) => {
      const shares = words.flatMap((word) => decodeShare(bytesOf(word), 1) ?? []);
      expect(combineShares(shares.slice(0, required), required)).toEqual(Uint8Array.of(byte));
      expect(combineShares(shares.slice(-required), required)).toEqual(Uint8Array.of(byte));
    },
  );
});
