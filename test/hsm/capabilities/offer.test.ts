import { describe, expect, test } from '@jest/globals';
import type { Capabilities } from '../../../src/hsm/capabilities/capabilities.ts';
import { offerOf } from '../../../src/hsm/capabilities/offer.ts';
import { requireAlgorithm } from '../../../src/hsm/capabilities/refusals.ts';

const LACK = { mechanism: 'CKM_SHA256_HMAC', answer: 'C_SignInit: CKR_KEY_SIZE_RANGE' };
const described = 'CKM_SHA256_HMAC (C_SignInit: CKR_KEY_SIZE_RANGE)';
const keyType = 'oct-HSM';

/** What decides here; the rest of what a module can do plays no part. */
const moduleWith = (lacks: Pick<Capabilities, 'keyLacks' | 'algorithmLacks'>) =>
  ({ module: 'a module', ...lacks }) as Capabilities;
const offered = (capabilities: Capabilities, algorithm: string) =>
  offerOf(capabilities).algorithms.find(({ name }) => name === algorithm);

describe('an algorithm for keys of several sizes', () => {
  const some = moduleWith({ keyLacks: {}, algorithmLacks: { HS256: { 'oct-HSM 128': LACK } } });

  test('that fails with one of them is offered with the others', () => {
    expect(offered(some, 'HS256')).toEqual({
      name: 'HS256',
      except: [{ keyType, bits: 128, lack: described }],
    });
    expect(offered(some, 'HS384')).toEqual({ name: 'HS384' });
  });

  test('is refused with that size, in words that name it, and with no other', () => {
    const use = (bits: 128 | 256) => () => {
      requireAlgorithm(some, 'HS256', { keyType, bits });
    };
    expect(use(256)).not.toThrow();
    expect(use(128)).toThrow(expect.objectContaining({ code: 'BadParameter' }));
    expect(use(128)).toThrow(/HS256 with a key of the kind oct-HSM 128.*CKM_SHA256_HMAC/);
  });

  test('is not offered where each size fails or can not be kept', () => {
    const none = moduleWith({
      keyLacks: { 'oct-HSM 128': { mechanism: 'CKM_AES_KEY_GEN', answer: 'CKR_KEY_SIZE_RANGE' } },
      algorithmLacks: { HS256: { 'oct-HSM 192': LACK, 'oct-HSM 256': LACK } },
    });
    expect(offered(none, 'HS256')).toEqual({ name: 'HS256', lack: described });
  });
});
