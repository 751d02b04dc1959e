import { createCipheriv, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import graphene, { type Key } from 'graphene-pk11';
import { ServiceError } from '../../../src/core/errors.ts';
import type { AesSize } from '../../../src/core/operations/algorithms.ts';
import type { Capabilities } from '../../../src/hsm/capabilities/capabilities.ts';
import { probeCapabilities } from '../../../src/hsm/capabilities/probe.ts';
import { CIPHERS } from '../../../src/hsm/operations/ciphers.ts';
import { openToken, type Token } from '../../../src/hsm/module/token.ts';
import { testToken } from '../../support/softhsm.ts';
import { hex, readVectors, Tally } from '../../support/vectors.ts';

const { KeyType, ObjectClass } = graphene;

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

function wrap(
  algorithm: 'CKM_AES_KEY_WRAP' | 'CKM_AES_KEY_WRAP_PAD',
  kek: Buffer,
  plaintext: Buffer,
  capabilities: Capabilities = native,
): Buffer {
  const key = token.loginSession
    .create({
      class: ObjectClass.SECRET_KEY,
      keyType: KeyType.AES,
      token: false,
      private: true,
      sensitive: true,
      extractable: false,
      encrypt: true,
      wrap: true,
      value: kek,
    })
    .toType<Key>();
  const spec = { keyType: 'oct-HSM', bits: (kek.length * 8) as AesSize } as const;
  try {
    const { value } = CIPHERS[algorithm].encrypt(
      { session: token.loginSession, key: key.handle, spec, capabilities },
      plaintext,
      {},
    );
    return Buffer.from(value);
  } finally {
    key.destroy();
  }
}

function unlessRefused<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'BadParameter') return undefined;
    throw error;
  }
}

function wrapWithOpenSsl(kek: Buffer, plaintext: Buffer): Buffer {
  const cipher = createCipheriv(
    `id-aes${kek.length * 8}-wrap-pad`,
    kek,
    Buffer.from('a65959a6', 'hex'),
  );
  return Buffer.concat([cipher.update(plaintext), cipher.final()]);
}

describe('AES key wrap with padding (RFC 5649)', () => {
  test.each([1, 7, 8, 9, 15, 16, 20, 31, 32, 33, 63, 65, 1217, 4095])(
    '%i bytes are wrapped to what OpenSSL makes of them, natively or in blocks',
    (length) => {
      const kek = randomBytes(32);
      const plaintext = randomBytes(length);
      const expected = wrapWithOpenSsl(kek, plaintext);
      for (const dataKeyWrap of ['objects', 'blocks'] as const)
        expect(wrap('CKM_AES_KEY_WRAP_PAD', kek, plaintext, { ...native, dataKeyWrap })).toEqual(
          expected,
        );
    },
  );

  test('more than 4096 bytes are refused in blocks, and the session serves on', () => {
    const blocks = { ...native, dataKeyWrap: 'blocks' } as const;
    const kek = randomBytes(16);
    expect(() => wrap('CKM_AES_KEY_WRAP_PAD', kek, randomBytes(4097), blocks)).toThrow(
      expect.objectContaining({ code: 'BadParameter' } satisfies Partial<ServiceError>),
    );
    const plaintext = randomBytes(5);
    expect(wrap('CKM_AES_KEY_WRAP_PAD', kek, plaintext, blocks)).toEqual(
      wrapWithOpenSsl(kek, plaintext),
    );
  });
});

const FILES = readVectors(['keywrap_test_schema_v1.json']);

describe("Wycheproof's data keys, wrapped by the HSM", () => {
  test.each(
    FILES.flatMap(({ name, testGroups }) =>
      (['objects', 'blocks'] as const).map((way) => [name, way, testGroups] as const),
    ),
  )(
    '%s, in %s: every valid one is wrapped to the same bytes, and no invalid one',
    (name, dataKeyWrap, groups) => {
      const algorithm = name.startsWith('aes_kwp') ? 'CKM_AES_KEY_WRAP_PAD' : 'CKM_AES_KEY_WRAP';
      const tally = new Tally();
      for (const group of groups)
        for (const one of group.tests) {
          const wrapped = unlessRefused(() =>
            wrap(algorithm, hex(one['key']), hex(one['msg']), { ...native, dataKeyWrap }),
          );
          tally.add(one, wrapped?.equals(hex(one['ct'])) === true);
        }
      console.info(`${name}, in ${dataKeyWrap}: ${String(tally)}`);
      expect(tally.disagreements).toEqual([]);
    },
  );
});
