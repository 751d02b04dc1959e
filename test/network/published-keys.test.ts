import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { readPublishedKeys } from '../../src/network/published-keys.ts';
import { rsaKeyPair } from '../support/rsa-keys.ts';

const jwkOf = (type: 'rsa' | 'P-256' | 'secp256k1' | 'ed25519', bits = 2048) =>
  (type === 'rsa'
    ? rsaKeyPair(bits)
    : type === 'ed25519'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: type })
  ).publicKey.export({ format: 'jwk' });
const rsa = jwkOf('rsa');
const ec = jwkOf('P-256');
const twos = Buffer.alloc(32, 2).toString('base64url');

/** Each is published beside a good one. */
const UNUSABLE: readonly (readonly [string, unknown, RegExp])[] = [
  ['an RSA key of 1024 bits', jwkOf('rsa', 1024), /1024 bits/],
  [
    'an RSA key of very many bits',
    { ...rsa, n: Buffer.alloc(4096, 0xff).toString('base64url') },
    /32768 bits/,
  ],
  ['an RSA key with the exponent 1', { ...rsa, e: 'AQ' }, /exponent/],
  ['an RSA key with an even exponent', { ...rsa, e: 'BA' }, /exponent/],
  ['an RSA key without a modulus', { kty: 'RSA', e: 'AQAB' }, /make no key/],
  ['an RSA key with a number for a modulus', { ...rsa, n: 5 }, /make no key/],
  ['a point off its curve', { ...ec, y: twos }, /make no key/],
  ['the point 0, 0', { ...ec, x: 'AA', y: 'AA' }, /make no key/],
  ['a curve that is not for signatures here', jwkOf('secp256k1'), /curve/],
  ['an unknown curve', { ...ec, crv: 'P-999' }, /make no key/],
  ['an Ed25519 key that is too short', { kty: 'OKP', crv: 'Ed25519', x: 'AA' }, /make no key/],
  ['a key to agree on secrets', { kty: 'OKP', crv: 'X25519', x: twos }, /no type/],
  ['a secret', { kty: 'oct', k: 'c2VjcmV0' }, /secret/],
  ['a type that nobody knows', { kty: 'PQ', pub: 'AA' }, /no type/],
  ['no type at all', {}, /no type/],
  ['a private half', { ...rsa, d: 'AQAB' }, /private half/],
  ['a key for encryption', { ...rsa, use: 'enc' }, /not for signatures/],
  ['a key whose operations are others', { ...rsa, key_ops: ['encrypt'] }, /not for signatures/],
  ['operations that are no list', { ...rsa, key_ops: 'verify' }, /not for signatures/],
  ['a certificate that is none', { kty: 'RSA', x5c: ['AAAA'] }, /make no key/],
];

describe('the keys of an issuer', () => {
  test.each(UNUSABLE)('of which one is %s: the others can be used', (_what, key, reason) => {
    const bad = { ...(key as object), kid: 'bad' };
    expect(readPublishedKeys({ keys: [bad, { ...rsa, kid: 'good' }] })).toEqual({
      usable: { keys: [{ ...rsa, kid: 'good' }] },
      unusable: [{ kid: 'bad', reason: expect.stringMatching(reason) }],
    });
  });

  test.each([null, 'text', 5, [], [[]]])('of which one is %j: the others can be used', (key) => {
    expect(readPublishedKeys({ keys: [key, ec] })).toEqual({
      usable: { keys: [ec] },
      unusable: [{ reason: expect.any(String) }],
    });
  });

  test('of which one comes twice: it is one', () => {
    const key = { ...rsa, kid: 'k', alg: 'RS256' };
    expect(readPublishedKeys({ keys: [key, { ...key, use: 'sig' }] }).usable.keys).toEqual([key]);
  });

  test('keep nothing but what checks a signature', () => {
    const more = { jku: 'https://elsewhere.example', x5u: 'https://elsewhere.example', x5t: 'AA' };
    expect(readPublishedKeys({ keys: [{ ...ec, ...more, kid: 5 }] }).usable.keys).toEqual([ec]);
  });

  test.each([undefined, null, [], {}, { keys: {} }, { keys: Array(101).fill(rsa) }])(
    'are none in %j',
    (document) => {
      expect(() => readPublishedKeys(document)).toThrow();
    },
  );
});
