import {
  constants,
  generateKeyPairSync,
  type KeyObject,
  publicEncrypt,
  randomBytes,
  createCipheriv,
} from 'node:crypto';
import { CURVE, type Curve } from '../../src/core/operations/algorithms.ts';
import { type ImportedJwk, JWK_MEMBERS } from '../../src/core/keys/import/key-import.ts';
import { rsaKeyPair } from './rsa-keys.ts';

/** A key made outside any HSM, for import: as Node's key pair, and as the JWK that a client would send. */
export interface OutsideKey {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  readonly jwk: Readonly<Record<string, string>>;
}

export function outsideRsa(bits: number, publicExponent = 65537): OutsideKey {
  const pair =
    publicExponent === 65537
      ? rsaKeyPair(bits)
      : generateKeyPairSync('rsa', { modulusLength: bits, publicExponent });
  const jwk = pair.privateKey.export({ format: 'jwk' }) as Record<string, string>;
  return { ...pair, jwk: { ...jwk, kty: 'RSA-HSM' } };
}

export function outsideEc(curve: Curve): OutsideKey {
  const pair = generateKeyPairSync('ec', { namedCurve: CURVE[curve].openssl });
  const jwk = pair.privateKey.export({ format: 'jwk' }) as Record<string, string>;
  return { ...pair, jwk: { ...jwk, kty: 'EC-HSM', crv: curve } };
}

/** The members of a JWK in bytes, as the REST layer hands them on. */
export function decoded(jwk: Readonly<Record<string, string>>): ImportedJwk {
  const { kty = '', crv, alg } = jwk;
  return {
    kty,
    ...(crv !== undefined && { crv }),
    ...(alg !== undefined && { alg }),
    members: Object.fromEntries(
      JWK_MEMBERS.flatMap((name) =>
        jwk[name] === undefined ? [] : [[name, Buffer.from(jwk[name], 'base64url')]],
      ),
    ),
  };
}

/** CKM_RSA_AES_KEY_WRAP in software: what an exporting HSM does with a key for another's key exchange key. */
export function wrapForTransfer(exchangeKey: KeyObject, key: Uint8Array): Buffer {
  const aes = randomBytes(32);
  const cipher = createCipheriv('id-aes256-wrap-pad', aes, Buffer.from('a65959a6', 'hex'));
  return Buffer.concat([
    publicEncrypt(
      { key: exchangeKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
      aes,
    ),
    cipher.update(key),
    cipher.final(),
  ]);
}
