import { describe, expect, test } from '@jest/globals';
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js';
import { mlDsaPrivateKeyInfo, mlDsaPublicKeyInfo } from '../../../src/core/keys/ml-dsa-encoding.ts';
import { parseImportedKey } from '../../../src/core/keys/import/key-import.ts';
import type { ParameterSet } from '../../../src/core/operations/algorithms.ts';
import { muOf } from '../../../src/hsm/capabilities/ml-dsa-trial.ts';
import { readMlDsaPkcs8 } from '../../../src/hsm/keys/pkcs8.ts';
import { hex, ML_DSA_SCHEMAS, readVectors } from '../../support/vectors.ts';

/** Groups with a member, and the parameter set of their file. */
function groupsWith(member: string) {
  return readVectors(ML_DSA_SCHEMAS).flatMap(({ algorithm, testGroups }) =>
    testGroups.flatMap((group) =>
      typeof group[member] === 'string' ? [[algorithm as ParameterSet, group] as const] : [],
    ),
  );
}

describe("Wycheproof's keys of ML-DSA", () => {
  test('have the SubjectPublicKeyInfo that is made of them here', () => {
    const groups = groupsWith('publicKeyDer').filter(([, { publicKeyDer }]) => publicKeyDer !== '');
    const wrong = groups.filter(([parameterSet, { publicKey, publicKeyDer }]) => {
      const info = mlDsaPublicKeyInfo(parameterSet, hex(publicKey));
      return !info.equals(hex(publicKeyDer));
    });
    expect(groups.length).toBeGreaterThan(50);
    expect(wrong).toEqual([]);
  });

  test('have the PKCS #8 that is made of their seeds here, which is read again', () => {
    const groups = groupsWith('privateKeyPkcs8').filter(
      ([, { privateSeed, publicKey }]) => String(privateSeed).length === 64 && publicKey !== null,
    );
    for (const [parameterSet, { privateSeed, privateKeyPkcs8 }] of groups) {
      const made = mlDsaPrivateKeyInfo(parameterSet, hex(privateSeed));
      expect(made.toString('hex')).toBe(privateKeyPkcs8);
      expect(readMlDsaPkcs8(made)).toEqual({ seed: hex(privateSeed) });
    }
    expect(groups.length).toBeGreaterThan(10);
  });

  test('have the mu that is made of public key, context and message here', () => {
    let tried = 0;
    for (const [, { publicKey, tests }] of groupsWith('privateSeed'))
      for (const { mu, msg, ctx, result } of tests) {
        if (result !== 'valid' || typeof mu !== 'string' || typeof msg !== 'string') continue;
        const made = muOf(hex(publicKey), hex(ctx ?? ''), hex(msg));
        expect(made.toString('hex')).toBe(mu);
        tried += 1;
      }
    expect(tried).toBeGreaterThan(50);
  });
});

describe('a PKCS #8 of ML-DSA that was made elsewhere', () => {
  const seed = Buffer.alloc(32, 9);
  const whole = Buffer.from(ml_dsa65.keygen(seed).secretKey);
  const der = (tag: number, content: Buffer) =>
    Buffer.concat([Buffer.of(tag, 0x82, content.length >> 8, content.length & 0xff), content]);
  const pkcs8 = (key: Buffer) => {
    const head = mlDsaPrivateKeyInfo('ML-DSA-65', seed).subarray(2, 18);
    return der(0x30, Buffer.concat([head, der(4, key)]));
  };

  test.each([
    ['the whole key alone', der(4, whole), { value: whole }],
    [
      'both, of which the seed is enough',
      der(0x30, Buffer.concat([der(4, seed), der(4, whole)])),
      { seed },
    ],
  ])('is read with %s', (_what, key, expected) => {
    expect(readMlDsaPkcs8(pkcs8(key))).toEqual(expected);
    // Some modules pad what they wrap with zeros.
    expect(readMlDsaPkcs8(Buffer.concat([pkcs8(key), Buffer.alloc(7)]))).toEqual(expected);
  });

  test.each([
    Buffer.alloc(0),
    Buffer.of(0x30, 0),
    pkcs8(Buffer.of(5, 0)),
    pkcs8(whole).subarray(0, 99),
  ])('is refused where it is none', (bytes) => {
    expect(() => readMlDsaPkcs8(bytes)).toThrow(expect.objectContaining({ code: 'BadParameter' }));
  });
});

describe('a JWK of ML-DSA', () => {
  const priv = Buffer.alloc(32, 9);
  const pub = Buffer.from(ml_dsa65.keygen(priv).publicKey);
  const jwk = { kty: 'AKP', alg: 'ML-DSA-65', members: { pub, priv } };

  test('is a key by its seed', async () => {
    const key = { keyType: 'AKP-HSM', parameterSet: 'ML-DSA-65', pub, seed: priv };
    expect(await parseImportedKey(jwk)).toEqual(key);
    expect(await parseImportedKey({ ...jwk, kty: 'AKP-HSM' })).toEqual(key);
  });

  test.each([
    ['alg', { ...jwk, alg: undefined }],
    ['alg', { ...jwk, alg: 'ES256' }],
    ['pub', { ...jwk, alg: 'ML-DSA-44' }],
    ['pub', { ...jwk, members: { priv } }],
    ['pub', { ...jwk, members: { priv, pub: pub.subarray(1) } }],
    ['priv', { ...jwk, members: { pub } }],
    ['priv', { ...jwk, members: { pub, priv: Buffer.alloc(31) } }],
    ['priv', { ...jwk, members: { pub, priv: Buffer.alloc(4032) } }],
  ])('is refused, by its member %s, where that is wrong', async (member, wrong) => {
    await expect(parseImportedKey(wrong)).rejects.toMatchObject({
      code: 'BadParameter',
      message: expect.stringContaining(`key.${member} `),
    });
  });
});
