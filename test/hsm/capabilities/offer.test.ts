import { describe, expect, test } from '@jest/globals';
import type { Capabilities } from '../../../src/hsm/capabilities/capabilities.ts';
import { offerOf } from '../../../src/hsm/capabilities/offer.ts';
import {
  requireAlgorithm,
  requireRelease,
  requireTransfer,
} from '../../../src/hsm/capabilities/refusals.ts';

const LACK = { mechanism: 'CKM_SHA256_HMAC', answer: 'C_SignInit: CKR_KEY_SIZE_RANGE' };
const described = 'CKM_SHA256_HMAC (C_SignInit: CKR_KEY_SIZE_RANGE)';
const keyType = 'oct-HSM';

/** What decides here; the rest of what a module can do plays no part. */
const NO_LACKS = {
  keyLacks: {},
  algorithmLacks: {},
  releaseLacks: {},
  releaseWrapLacks: {},
  transferLacks: {},
};
const moduleWith = (lacks: Partial<Capabilities>) =>
  ({ module: 'a module', keeping: 'sealed', ...NO_LACKS, ...lacks }) as Capabilities;
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

describe('how keys leave and come in', () => {
  const ROUNDS = { mechanism: 'RFC 5649', answer: 'rounds up' };
  const p256 = { keyType: 'EC-HSM', curve: 'P-256' } as const;
  const some = moduleWith({
    releaseLacks: { 'EC-HSM P-256': ROUNDS },
    releaseWrapLacks: { RSA_AES_KEY_WRAP_384: LACK },
    transferLacks: { 'EC-HSM': ROUNDS },
  });

  test('is told of each kind of key, each way to wrap and each type', () => {
    const { release, transfers } = offerOf(some);
    const lacking = (all: readonly { readonly lack?: string }[] | undefined) =>
      all?.filter(({ lack }) => lack !== undefined);
    expect(lacking(release?.keys)).toEqual([{ ...p256, lack: 'RFC 5649 (rounds up)' }]);
    expect(lacking(release?.wraps)).toEqual([{ name: 'RSA_AES_KEY_WRAP_384', lack: described }]);
    expect(lacking(transfers)).toEqual([{ keyType: 'EC-HSM', lack: 'RFC 5649 (rounds up)' }]);
  });

  test('a kind that can not be kept is not released either', () => {
    const none = moduleWith({ keyLacks: { 'EC-HSM P-521': LACK } });
    expect(offerOf(none).release?.keys).toContainEqual({
      ...{ keyType: 'EC-HSM', curve: 'P-521', lack: described },
    });
  });

  test('nothing leaves a resident pool', () => {
    expect(offerOf(moduleWith({ keeping: 'resident' })).release).toBeUndefined();
  });

  test('what fails is refused in words that name the module and the mechanism, and nothing else is', () => {
    const oct = { keyType: 'oct-HSM', bits: 256 } as const;
    expect(() => {
      requireRelease(some, oct, 'CKM_RSA_AES_KEY_WRAP');
      requireTransfer(some, 'oct-HSM');
    }).not.toThrow();
    expect(() => {
      requireRelease(some, p256, 'CKM_RSA_AES_KEY_WRAP');
    }).toThrow(/EC-HSM P-256.*a module, fails at RFC 5649/);
    expect(() => {
      requireRelease(some, oct, 'RSA_AES_KEY_WRAP_384');
    }).toThrow(/RSA_AES_KEY_WRAP_384.*a module, fails at CKM_SHA256_HMAC/);
    expect(() => {
      requireTransfer(some, 'EC-HSM');
    }).toThrow(expect.objectContaining({ code: 'BadParameter' }));
  });
});
