import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import graphene, { type ITemplate, type Key } from 'graphene-pk11';
import type { CipherAlgorithm } from '../../../src/core/operations/algorithms.ts';
import { ServiceError } from '../../../src/core/errors.ts';
import type { KeySpec } from '../../../src/core/keys/key.ts';
import { type Capabilities, probeCapabilities } from '../../../src/hsm/module/capabilities.ts';
import { CIPHERS } from '../../../src/hsm/operations/ciphers.ts';
import { openToken, type Token } from '../../../src/hsm/module/token.ts';
import { testToken } from '../../support/softhsm.ts';
import {
  hex,
  readVectors,
  Tally,
  type VectorGroup,
  type VectorTest,
} from '../../support/vectors.ts';

/** Which of our algorithms a group tests, with the key that it brings; undefined for what the service doesn't have. */
interface Case {
  readonly algorithm: CipherAlgorithm;
  readonly spec: KeySpec;
  readonly key: ITemplate;
}

const { KeyType, ObjectClass } = graphene;
const SECRET = { token: false, private: true, sensitive: true, extractable: false };

function rsaCase(group: VectorGroup, algorithm: CipherAlgorithm): Case | undefined {
  const jwk = group['privateKeyJwk'] as Record<string, string>;
  const part = (name: string) => Buffer.from(jwk[name] ?? '', 'base64url');
  const modulus = part('n');
  const bits = modulus.length * 8;
  if (bits !== 2048 && bits !== 3072 && bits !== 4096) return undefined;
  return {
    algorithm,
    spec: { keyType: 'RSA-HSM', bits, publicExponent: 65537 },
    key: {
      ...SECRET,
      class: ObjectClass.PRIVATE_KEY,
      keyType: KeyType.RSA,
      decrypt: true,
      modulus,
      publicExponent: part('e'),
      privateExponent: part('d'),
      prime1: part('p'),
      prime2: part('q'),
      exp1: part('dp'),
      exp2: part('dq'),
      coefficient: part('qi'),
    },
  };
}

function aesCase(one: VectorTest, algorithm: CipherAlgorithm): Case | undefined {
  const value = hex(one['key']);
  const bits = value.length * 8;
  if (bits !== 128 && bits !== 192 && bits !== 256) return undefined;
  return {
    algorithm,
    spec: { keyType: 'oct-HSM', bits },
    key: {
      ...SECRET,
      class: ObjectClass.SECRET_KEY,
      keyType: KeyType.AES,
      decrypt: true,
      unwrap: true,
      value,
    },
  };
}

/** By schema and file: how a test is read, and which member holds the ciphertext. */
function understand(file: string, group: VectorGroup, one: VectorTest): Case | undefined {
  if (file.startsWith('rsa_pkcs1')) return rsaCase(group, 'RSA1_5');
  if (file.startsWith('rsa_oaep')) {
    const hasLabel = typeof one['label'] === 'string' && one['label'] !== '';
    if (hasLabel || group['sha'] !== group['mgfSha']) return undefined;
    if (group['sha'] === 'SHA-1') return rsaCase(group, 'RSA-OAEP');
    return group['sha'] === 'SHA-256' ? rsaCase(group, 'RSA-OAEP-256') : undefined;
  }
  if (file.startsWith('aes_gcm'))
    return group['ivSize'] === 96 && group['tagSize'] === 128 ? aesCase(one, 'A256GCM') : undefined;
  if (file.startsWith('aes_cbc')) return aesCase(one, 'A256CBCPAD');
  if (file.startsWith('aes_kwp')) return aesCase(one, 'CKM_AES_KEY_WRAP_PAD');
  if (file.startsWith('aes_wrap')) return aesCase(one, 'CKM_AES_KEY_WRAP');
  return undefined;
}

const FILES = readVectors([
  'rsaes_pkcs1_decrypt_schema_v1.json',
  'rsaes_oaep_decrypt_schema_v1.json',
  'aead_test_schema_v1.json',
  'ind_cpa_test_schema_v1.json',
  'keywrap_test_schema_v1.json',
]);

describe("Wycheproof's ciphertexts, decrypted by the HSM", () => {
  let token: Token;
  let native: Capabilities;
  beforeAll(() => {
    token = openToken(testToken());
    native = probeCapabilities(token.loginSession);
  });
  afterAll(() => {
    token.close();
  });

  function decrypt(
    { algorithm, spec, key: template }: Case,
    one: VectorTest,
    capabilities: Capabilities,
  ): Buffer | undefined {
    const key = token.loginSession.create(template).toType<Key>();
    try {
      const member = (name: string) =>
        typeof one[name] === 'string' ? { [name]: hex(one[name]) } : {};
      return CIPHERS[algorithm].decrypt(
        { session: token.loginSession, key: key.handle, spec, capabilities },
        { value: hex(one['ct']), ...member('iv'), ...member('tag') },
        member('aad'),
      );
    } catch (error) {
      if (error instanceof ServiceError && error.code === 'DecryptionFailed') return undefined;
      throw error;
    } finally {
      key.destroy();
    }
  }

  const ways = [
    ['as the module does it', undefined],
    ['with the RSA padding taken off here', { oaepSha1: 'raw', oaepSha256: 'raw', pkcs1: 'raw' }],
  ] as const;
  test.each(
    FILES.flatMap(({ name, testGroups }) =>
      ways
        .slice(0, name.startsWith('rsa') ? 2 : 1)
        .map(([way, capabilities]) => [name, way, testGroups, capabilities] as const),
    ),
  )(
    '%s, %s: every valid one decrypts, every invalid one is refused alike',
    (name, way, groups, capabilities) => {
      const tally = new Tally();
      let skipped = 0;
      for (const group of groups)
        for (const one of group.tests) {
          const read = understand(name, group, one);
          if (read === undefined) {
            skipped += 1;
            continue;
          }
          const plaintext = decrypt(read, one, { ...native, ...capabilities });
          tally.add(one, plaintext?.equals(hex(one['msg'])) === true);
        }
      console.info(
        `${name}, ${way}: ${String(tally)}${skipped === 0 ? '' : `, ${skipped} skipped`}`,
      );
      expect(tally.disagreements).toEqual([]);
    },
  );
});
