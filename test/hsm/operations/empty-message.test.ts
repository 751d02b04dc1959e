import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  AES_SIZES,
  type CipherAlgorithm,
  type SigningAlgorithm,
} from '../../../src/core/operations/algorithms.ts';
import type { KeyMaterial, KeySpec } from '../../../src/core/keys/key.ts';
import type { Pkcs11Hsm } from '../../../src/hsm/pkcs11-hsm.ts';
import { openTestHsm, testIdentity } from '../../support/hsm.ts';

/** No bytes are a message too: modules that are given them as a null address refuse, and keep the session busy. */

let hsm: Pkcs11Hsm;
let keys: Map<string, KeyMaterial>;
const nothing = new Uint8Array();

beforeAll(async () => {
  const opened = openTestHsm();
  hsm = opened.hsm;
  const specs: KeySpec[] = [
    { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 },
    ...AES_SIZES.map((bits) => ({ keyType: 'oct-HSM', bits }) as const),
  ];
  keys = new Map();
  for (const spec of specs) {
    const name = spec.keyType === 'oct-HSM' ? `A${spec.bits}` : 'RSA';
    keys.set(name, await hsm.generateKey(testIdentity(opened.poolId, name), spec));
  }
});
afterAll(() => hsm.close());

function keyFor(algorithm: string): KeyMaterial {
  const key = keys.get(/^(A\d{3}|RSA)/.exec(algorithm)?.[0] ?? 'A256');
  if (key === undefined) throw new Error(`no key for ${algorithm}`);
  return key;
}

const ciphers: readonly CipherAlgorithm[] = [
  ...AES_SIZES.flatMap((bits) => [`A${bits}GCM`, `A${bits}CBCPAD`] as const),
  ...(['RSA1_5', 'RSA-OAEP', 'RSA-OAEP-256'] as const),
];
const macs: readonly SigningAlgorithm[] = ['HS256', 'HS384', 'HS512'];

describe('an empty message', () => {
  test.each(ciphers)('is encrypted and decrypted: %s', async (algorithm) => {
    const key = keyFor(algorithm);
    const parameters = algorithm.includes('CBC') ? { iv: new Uint8Array(16) } : {};
    const made = await hsm.encrypt(key, algorithm, nothing, parameters);
    expect(await hsm.decrypt(key, algorithm, made, {})).toHaveLength(0);
  });

  test.each(macs)('has a MAC, which no other message has: %s', async (algorithm) => {
    const key = keyFor(algorithm);
    const mac = await hsm.sign(key, algorithm, nothing);
    expect(await hsm.verify(key, algorithm, nothing, mac)).toBe(true);
    expect(await hsm.verify(key, algorithm, Buffer.of(0), mac)).toBe(false);
    mac[0] = (mac[0] ?? 0) ^ 1;
    expect(await hsm.verify(key, algorithm, nothing, mac)).toBe(false);
  });

  test('costs those who come after it nothing: keys stay loaded, sessions stay in order', async () => {
    const key = keyFor('A256GCM');
    await hsm.encrypt(key, 'A256GCM', nothing, {});
    await hsm.sign(key, 'HS256', nothing);
    const { loads } = hsm.status;
    for (let turn = 0; turn < 10; turn += 1) {
      await Promise.all([
        hsm.encrypt(key, 'A256GCM', nothing, {}),
        hsm.encrypt(key, 'A256GCM', Buffer.from('something'), {}),
        hsm.sign(key, 'HS256', nothing),
        hsm.sign(key, 'HS256', Buffer.from('something')),
      ]);
    }
    expect(hsm.status.loads).toBe(loads);
  });
});
