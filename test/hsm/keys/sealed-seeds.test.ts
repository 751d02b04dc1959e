import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { constants, createDecipheriv, privateDecrypt, randomBytes, randomUUID } from 'node:crypto';
import { ml_dsa44, ml_dsa65, ml_dsa87 } from '@noble/post-quantum/ml-dsa.js';
import type { KeyMaterial } from '../../../src/core/keys/key.ts';
import { mlDsaPrivateKeyInfo } from '../../../src/core/keys/ml-dsa-encoding.ts';
import { packBytes, unpackBytes } from '../../../src/core/keys/packed-bytes.ts';
import { PARAMETER_SETS } from '../../../src/core/operations/algorithms.ts';
import { wrapSeed } from '../../../src/hsm/keys/keeping/sealed-seeds.ts';
import { releaseKey } from '../../../src/hsm/keys/key-release.ts';
import { rewrap } from '../../../src/hsm/keys/rewrapping.ts';
import { createRootKeys, type RootKeys } from '../../../src/hsm/keys/root-keys.ts';
import { makeMac } from '../../../src/hsm/keys/root-mac.ts';
import { sealedBytes } from '../../../src/hsm/keys/seal.ts';
import { type Connection, openConnection } from '../../../src/hsm/module/connection.ts';
import { testConnection, testIdentity } from '../../support/hsm.ts';
import { rsaKeyPair } from '../../support/rsa-keys.ts';

/**
 * Keys of ML-DSA as they are kept where the module makes and doesn't wrap them: what becomes of their seeds needs no module
 * that has ML-DSA. Released, they are what RFC 9881 §6 says, to the byte.
 */
const NOBLE = { 'ML-DSA-44': ml_dsa44, 'ML-DSA-65': ml_dsa65, 'ML-DSA-87': ml_dsa87 };
const { privateKey, publicKey } = rsaKeyPair(2048);
const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
const recipient = { n: Buffer.from(n, 'base64url'), e: Buffer.from(e, 'base64url') };

let connection: Connection;
let first: RootKeys;
let second: RootKeys;
beforeAll(() => {
  connection = openConnection(testConnection(), undefined);
  const pool = randomUUID();
  first = createRootKeys(connection.token.loginSession, pool, 1);
  second = createRootKeys(connection.token.loginSession, pool, 2);
});
afterAll(() => connection.close());

function contextOf(rootKeys: RootKeys) {
  const { token, capabilities } = connection;
  const seeds = { ...capabilities, mlDsaKeys: 'seeds' as const };
  return { session: token.loginSession, rootKeys, capabilities: seeds, isSoftware: true };
}

/** A key that was made of a seed, and sealed. */
function sealedKey(parameterSet: (typeof PARAMETER_SETS)[number], seed: Buffer): KeyMaterial {
  const context = contextOf(first);
  const key = {
    identity: { ...testIdentity(first.poolId, 'seeded', ['sign', 'export']), exportable: true },
    spec: { keyType: 'AKP-HSM', parameterSet } as const,
    publicKey: { keyType: 'AKP-HSM', pub: NOBLE[parameterSet].keygen(seed).publicKey } as const,
  };
  const sealed = { rootGeneration: 1, blob: packBytes(wrapSeed(context, parameterSet, seed)) };
  const seal = packBytes(makeMac(context.session, first, sealedBytes(key, sealed)));
  return { ...key, sealed: { ...sealed, seal } };
}

function released(material: KeyMaterial, rootKeys: RootKeys): Buffer {
  const bytes = releaseKey(contextOf(rootKeys), material, recipient, 'CKM_RSA_AES_KEY_WRAP');
  const transport = privateDecrypt(
    { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
    bytes.subarray(0, 256),
  );
  const iv = Buffer.from('a65959a6', 'hex');
  const decipher = createDecipheriv('id-aes256-wrap-pad', transport, iv);
  return Buffer.concat([decipher.update(bytes.subarray(256)), decipher.final()]);
}

describe.each(PARAMETER_SETS)('a key of %s that is kept by its seed', (parameterSet) => {
  test('is released as its PKCS #8, to the byte', () => {
    const seed = randomBytes(32);
    const material = sealedKey(parameterSet, seed);
    expect(released(material, first)).toEqual(mlDsaPrivateKeyInfo(parameterSet, seed));
  });

  test('is the same under other root keys, as in a backup', () => {
    const seed = randomBytes(32);
    const material = sealedKey(parameterSet, seed);
    const { session, capabilities } = contextOf(first);
    const moved = rewrap({ session, capabilities }, first, second, material, material.identity);
    expect(moved.rootGeneration).toBe(2);
    expect(unpackBytes(moved.blob)).not.toEqual(unpackBytes(material.sealed.blob));
    expect(released({ ...material, sealed: moved }, second)).toEqual(
      mlDsaPrivateKeyInfo(parameterSet, seed),
    );
  });

  test('is not released where nothing can be made up for, with the reason', () => {
    const material = sealedKey(parameterSet, randomBytes(32));
    const context = { ...contextOf(first), isSoftware: false };
    expect(() => releaseKey(context, material, recipient, 'CKM_RSA_AES_KEY_WRAP')).toThrow(
      expect.objectContaining({
        code: 'BadParameter',
        message: expect.stringMatching(/^The HSM of this pool, SoftHSM.*RFC 5649/),
      }),
    );
  });

  test('whose seal is not its own moves nowhere', () => {
    const material = sealedKey(parameterSet, randomBytes(32));
    const { session, capabilities } = contextOf(first);
    const other = {
      ...material,
      spec: { ...material.spec, parameterSet: otherThan(parameterSet) },
    };
    expect(() =>
      rewrap({ session, capabilities }, first, second, other as KeyMaterial, material.identity),
    ).toThrow(expect.objectContaining({ code: 'KeyIntegrityViolation' }));
  });
});

function otherThan(parameterSet: (typeof PARAMETER_SETS)[number]) {
  return parameterSet === 'ML-DSA-44' ? 'ML-DSA-65' : 'ML-DSA-44';
}
