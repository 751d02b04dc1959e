import { describe, expect, test } from '@jest/globals';
import { parseKeyOperations, parseKeySpec, requireMlDsa } from '../../../src/core/keys/key-spec.ts';

const refusal = (message: string) =>
  expect.objectContaining({ code: 'BadParameter', message: expect.stringContaining(message) });

describe.each(['AKP', 'AKP-HSM'])('a key of the type %s', (keyType) => {
  test('is refused with the reason where the HSM has no ML-DSA, and there alone', () => {
    expect(() => {
      requireMlDsa({ keyType }, { hasMlDsa: false });
    }).toThrow(refusal('does not have'));
    expect(() => {
      requireMlDsa({ keyType }, { hasMlDsa: true });
    }).not.toThrow();
  });

  test.each(['ML-DSA-44', 'ML-DSA-65', 'ML-DSA-87'])('is of the set that alg names: %s', (alg) => {
    expect(parseKeySpec({ keyType, algorithm: alg, keySize: 2048, curve: 'P-256' })).toEqual({
      keyType: 'AKP-HSM',
      parameterSet: alg,
    });
  });

  test.each([undefined, '', 'ML-DSA', 'ml-dsa-65', 'ML-DSA-66', 'ML-KEM-768', 'toString'])(
    'is refused where alg is %s: which one is no matter of chance',
    (algorithm) => {
      expect(() => parseKeySpec({ keyType, algorithm })).toThrow(refusal('Property alg'));
    },
  );
});

test('alg is refused of other types: no such request is taken for one of another key', () => {
  for (const hasMlDsa of [false, true])
    for (const keyType of ['RSA-HSM', undefined])
      expect(() => {
        requireMlDsa({ keyType, algorithm: 'ML-DSA-65' }, { hasMlDsa });
      }).toThrow(refusal('only AKP-HSM keys (ML-DSA)'));
  expect(() => {
    requireMlDsa({ keyType: 'RSA-HSM' }, { hasMlDsa: false });
  }).not.toThrow();
});

test('a key of ML-DSA signs and verifies, and does nothing else', () => {
  expect(parseKeyOperations('AKP-HSM', undefined)).toEqual(['sign', 'verify']);
  expect(parseKeyOperations('AKP-HSM', ['sign', 'export'])).toEqual(['sign', 'export']);
  for (const operation of ['encrypt', 'wrapKey', 'import', 'deriveKey'])
    expect(() => parseKeyOperations('AKP-HSM', ['sign', operation])).toThrow(
      refusal('Property key_ops'),
    );
});
