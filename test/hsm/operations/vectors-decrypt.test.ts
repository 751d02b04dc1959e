import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import graphene, { type ITemplate, type Key } from 'graphene-pk11';
import { ALGORITHMS, type CipherAlgorithm } from '../../../src/core/operations/algorithms.ts';
import { ServiceError } from '../../../src/core/errors.ts';
import type { KeySpec } from '../../../src/core/keys/key.ts';
import type { Capabilities } from '../../../src/hsm/capabilities/capabilities.ts';
import { probeCapabilities } from '../../../src/hsm/capabilities/probe.ts';
import { CIPHERS } from '../../../src/hsm/operations/ciphers.ts';
import { openToken, type Token } from '../../../src/hsm/module/token.ts';
import { testToken } from '../../support/softhsm.ts';
import { algorithmsOf } from '../../support/vector-algorithms.ts';
import {
  CIPHER_SCHEMAS,
  hex,
  readVectors,
  Tally,
  type VectorFile,
  type VectorGroup,
  type VectorTest,
} from '../../support/vectors.ts';

/** One of our algorithms, and a key. */
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

/** Each of our algorithms that a test is about, with the key that it brings. */
function understand(file: VectorFile, group: VectorGroup, one: VectorTest): readonly Case[] {
  const hasLabel = typeof one['label'] === 'string' && one['label'] !== '';
  if (hasLabel) return [];
  return algorithmsOf(file, group).flatMap((algorithm) => {
    const facts = ALGORITHMS[algorithm];
    const name = algorithm as CipherAlgorithm;
    return (facts.keyType === 'RSA-HSM' ? rsaCase(group, name) : aesCase(one, name)) ?? [];
  });
}

/** What the service gives out: without padding, the block that PKCS #7 has filled up is part of it. */
function expectedOf({ algorithm }: Case, one: VectorTest): Buffer {
  const plaintext = hex(one['msg']);
  if (!/^A\d+CBC$/.test(algorithm)) return plaintext;
  const padding = 16 - (plaintext.length % 16);
  return Buffer.concat([plaintext, Buffer.alloc(padding, padding)]);
}

const FILES = readVectors(CIPHER_SCHEMAS);

describe("Wycheproof's ciphertexts, decrypted by the HSM", () => {
  let token: Token;
  let native: Capabilities;
  beforeAll(() => {
    token = openToken(testToken());
    native = probeCapabilities(token.loginSession, {
      module: token.facts.description,
      isSoftware: true,
    });
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

  const NATIVE = ['as the module does it', undefined] as const;
  const RAW = [
    'with the RSA padding taken off here',
    { oaepSha1: 'raw', oaepSha256: 'raw', pkcs1: 'raw' },
  ] as const;
  const BLOCKS = ['from single blocks', { dataKeyWrap: 'blocks' }] as const;
  const waysOf = (name: string) => [
    NATIVE,
    ...(name.startsWith('rsa') ? [RAW] : []),
    ...(/^aes_(?:kwp|wrap)_/.test(name) ? [BLOCKS] : []),
  ];
  test.each(
    FILES.flatMap((file) =>
      waysOf(file.name).map(([way, capabilities]) => [file.name, way, file, capabilities] as const),
    ),
  )(
    '%s, %s: every valid one decrypts, every invalid one is refused alike',
    (name, way, file, capabilities) => {
      const tally = new Tally();
      let skipped = 0;
      for (const group of file.testGroups)
        for (const one of group.tests) {
          // Wrong padding is nothing to an algorithm without.
          const cases = understand(file, group, one).filter(
            ({ algorithm }) => one.result === 'valid' || !/^A\d+CBC$/.test(algorithm),
          );
          if (cases.length === 0) skipped += 1;
          for (const read of cases) {
            const plaintext = decrypt(read, one, { ...native, ...capabilities });
            tally.add(one, plaintext?.equals(expectedOf(read, one)) === true);
          }
        }
      console.info(
        `${name}, ${way}: ${String(tally)}${skipped === 0 ? '' : `, ${skipped} skipped`}`,
      );
      expect(tally.disagreements).toEqual([]);
    },
  );
});
