import { describe, expect, test } from '@jest/globals';
import type { KeySpec } from '../../../src/core/keys/key.ts';
import { type Algorithm, findAlgorithm } from '../../../src/core/operations/algorithms.ts';
import { type Signable, signableOf } from '../../../src/core/operations/signable.ts';

const AKP: KeySpec = { keyType: 'AKP-HSM', parameterSet: 'ML-DSA-65' };
const RSA: KeySpec = { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 };
const bytes = (count: number) => new Uint8Array(count);

function read(spec: KeySpec, name: Algorithm, signable: Signable) {
  const facts = findAlgorithm(name);
  if (facts === undefined) throw new TypeError(name);
  return signableOf(spec, facts, signable, 'digest');
}

describe('ML-DSA signs', () => {
  test.each([0, 1, 32, 200_000])('a message of any length: %i bytes', (count) => {
    const value = bytes(count);
    expect(read(AKP, 'ML-DSA-65', { value })).toEqual({ bytes: value });
  });

  test('in a context of up to 255 bytes, of which none and an empty one are the same', () => {
    const value = bytes(5);
    for (const context of [bytes(1), bytes(255)])
      expect(read(AKP, 'ML-DSA-65', { value, context })).toEqual({
        bytes: value,
        parameters: { context },
      });
    expect(read(AKP, 'ML-DSA-65', { value, context: bytes(0) })).toEqual({ bytes: value });
  });

  test('mu instead of both', () => {
    const externalMu = bytes(64);
    expect(read(AKP, 'ML-DSA-65', { externalMu })).toEqual({
      bytes: externalMu,
      parameters: { isMu: true },
    });
  });
});

test.each<[string, KeySpec, Algorithm, Signable, string]>([
  [
    'a context that is too long',
    AKP,
    'ML-DSA-65',
    { value: bytes(1), context: bytes(256) },
    'context',
  ],
  ['no message', AKP, 'ML-DSA-65', {}, 'digest'],
  ['a context alone', AKP, 'ML-DSA-65', { context: bytes(3) }, 'digest'],
  ['mu that is too short', AKP, 'ML-DSA-65', { externalMu: bytes(63) }, 'external_mu'],
  ['mu that is too long', AKP, 'ML-DSA-65', { externalMu: bytes(65) }, 'external_mu'],
  ['mu and a message', AKP, 'ML-DSA-65', { externalMu: bytes(64), value: bytes(1) }, 'external_mu'],
  [
    'mu and a context',
    AKP,
    'ML-DSA-65',
    { externalMu: bytes(64), context: bytes(0) },
    'external_mu',
  ],
  ['mu for RSA', RSA, 'RS256', { externalMu: bytes(64) }, 'external_mu'],
  [
    'a context for RSA, be it empty',
    RSA,
    'RS256',
    { value: bytes(32), context: bytes(0) },
    'context',
  ],
  ['no digest for RSA', RSA, 'RS256', {}, 'digest'],
])('%s is refused by name', (_what, spec, algorithm, signable, named) => {
  expect(() => read(spec, algorithm, signable)).toThrow(
    expect.objectContaining({
      code: 'BadParameter',
      message: expect.stringContaining(`Property ${named} has an invalid value`),
    }),
  );
});
