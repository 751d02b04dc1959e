import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { constants, privateEncrypt, publicEncrypt, randomBytes } from 'node:crypto';
import {
  oaepDecode,
  oaepEncode,
  type OaepHash,
  pkcs1Decode,
} from '../../../src/hsm/operations/rsa-padding.ts';
import { rsaKeyPair } from '../../support/rsa-keys.ts';

const K = 256;
const { publicKey, privateKey } = rsaKeyPair(2048);
const HASHES: readonly (readonly [OaepHash, number])[] = [
  ['sha1', 20],
  ['sha256', 32],
];

/** The encoded message below a ciphertext: a raw private operation, in Node's words. */
function open(ciphertext: Buffer): Buffer {
  return privateEncrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, ciphertext);
}

describe.each(HASHES)('OAEP with %s', (hash, h) => {
  const bytes = fc.uint8Array({ maxLength: K - 2 * h - 2 });

  test('takes off what it has put on', () => {
    fc.assert(
      fc.property(bytes, (plaintext) => {
        const encoded = oaepEncode(plaintext, K, hash, randomBytes(h));
        expect(encoded).toHaveLength(K);
        expect(oaepDecode(encoded, hash)).toEqual(Buffer.from(plaintext));
      }),
    );
  });

  test('takes off what OpenSSL has put on', () => {
    fc.assert(
      fc.property(bytes, (plaintext) => {
        const ciphertext = publicEncrypt({ key: publicKey, oaepHash: hash }, plaintext);
        expect(oaepDecode(open(ciphertext), hash)).toEqual(Buffer.from(plaintext));
      }),
      { numRuns: 30 },
    );
  });

  test('refuses a message with any one bit changed', () => {
    const position = fc.integer({ min: 0, max: 8 * K - 1 });
    fc.assert(
      fc.property(bytes, position, (plaintext, bit) => {
        const encoded = oaepEncode(plaintext, K, hash, randomBytes(h));
        encoded[bit >> 3] = (encoded[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(oaepDecode(encoded, hash)).toBeUndefined();
      }),
    );
  });
});

describe('PKCS #1 v1.5', () => {
  test('takes off what OpenSSL has put on', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: K - 11 }), (plaintext) => {
        const ciphertext = publicEncrypt(
          { key: publicKey, padding: constants.RSA_PKCS1_PADDING },
          plaintext,
        );
        expect(pkcs1Decode(open(ciphertext))).toEqual(Buffer.from(plaintext));
      }),
      { numRuns: 30 },
    );
  });

  const block = (edit: (bytes: Buffer) => void) => {
    const bytes = Buffer.alloc(K, 0xff);
    bytes[0] = 0;
    bytes[1] = 2;
    bytes[K - 9] = 0;
    edit(bytes);
    return bytes;
  };
  test.each([
    ['right', block(() => undefined), 8],
    ['with an empty message', block((bytes) => bytes.fill(0xff, 2).fill(0, K - 1)), 0],
    ['with the shortest padding', block((bytes) => bytes.fill(0, 10, 11)), K - 11],
    ['with a padding too short by one', block((bytes) => bytes.fill(0, 9, 10)), undefined],
    ['with another first byte', block((bytes) => bytes.fill(1, 0, 1)), undefined],
    ['of block type 1', block((bytes) => bytes.fill(1, 1, 2)), undefined],
    ['without a separator', block((bytes) => bytes.fill(0xff, 2)), undefined],
  ])('a block %s', (_what, encoded, length) => {
    expect(pkcs1Decode(encoded)?.length).toBe(length);
  });
});
