import { describe, expect, test } from '@jest/globals';
import { requireBuilt } from '../../../src/core/keys/key-spec.ts';

describe('a post-quantum key type', () => {
  test.each([
    [false, /does not have/],
    [true, /not available yet/],
  ])('is refused with the reason where the HSM has ML-DSA: %s', (hasMlDsa, message) => {
    for (const keyType of ['AKP', 'AKP-HSM'])
      expect(() => {
        requireBuilt({ keyType }, { hasMlDsa });
      }).toThrow(
        expect.objectContaining({ code: 'BadParameter', message: expect.stringMatching(message) }),
      );
  });

  test('is no concern of the others', () => {
    expect(() => {
      requireBuilt({ keyType: 'RSA-HSM' }, { hasMlDsa: false });
    }).not.toThrow();
  });
});
