import {
  constants,
  createHash,
  createPublicKey,
  type KeyObject,
  privateEncrypt,
  publicDecrypt,
  randomBytes,
} from 'node:crypto';
import { ServiceError } from '../../../src/core/errors.ts';
import type { Hsm } from '../../../src/core/keys/hsm.ts';
import type { KeyRelease } from '../../../src/core/release/key-release.ts';
import type { KeyIdentity, KeyMaterial, VerifiedMaterial } from '../../../src/core/keys/key.ts';
import { packBytes, type PackedBytes } from '../../../src/core/keys/packed-bytes.ts';
import { nthRsaKeyPair } from '../rsa-keys.ts';

/** DigestInfo of SHA-256 before the digest itself (RFC 8017 §9.2, note 1). */
const SHA256_PREFIX = Buffer.from('3031300d060960864801650304020105000420', 'hex');

/** An HSM that can do RSA with RS256, for what signs tokens; private keys stay inside, found by the blob. */
export function createRsaHsm(): Hsm & Pick<KeyRelease, 'requireIntact'> {
  const inside = new Map<string, KeyObject>();
  let made = 0;

  function open({ identity, sealed }: KeyMaterial): KeyObject {
    const key = inside.get(sealed.blob);
    if (key === undefined || sealOf(identity, sealed.blob) !== sealed.seal)
      throw new ServiceError('KeyIntegrityViolation', 'The seal does not verify.');
    return key;
  }

  return {
    async generateKey(identity, spec) {
      if (spec.keyType !== 'RSA-HSM') return cannot();
      made += 1;
      const { publicKey, privateKey } = nthRsaKeyPair('hsm', spec.bits, made);
      const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
      const blob = packBytes(randomBytes(32));
      inside.set(blob, privateKey);
      return {
        identity,
        spec,
        publicKey: {
          keyType: 'RSA-HSM',
          n: Buffer.from(n, 'base64url'),
          e: Buffer.from(e, 'base64url'),
        },
        sealed: { rootGeneration: 1, blob, seal: sealOf(identity, blob) },
      } as KeyMaterial as VerifiedMaterial;
    },

    async sign(key, algorithm, digest) {
      if (algorithm !== 'RS256') return cannot();
      const input = Buffer.concat([SHA256_PREFIX, digest]);
      return Promise.resolve(
        privateEncrypt({ key: open(key), padding: constants.RSA_PKCS1_PADDING }, input),
      );
    },

    async verify(key, algorithm, digest, signature) {
      if (algorithm !== 'RS256') return cannot();
      const expected = Buffer.concat([SHA256_PREFIX, digest]);
      try {
        const found = publicDecrypt(createPublicKey(open(key)), signature);
        return await Promise.resolve(found.equals(expected));
      } catch {
        return false;
      }
    },

    requireIntact: (key) =>
      new Promise((resolve) => {
        open(key);
        resolve(key as VerifiedMaterial);
      }),
    reseal: cannot,
    encrypt: cannot,
    decrypt: cannot,
    random: (count) => Promise.resolve(randomBytes(count)),
  };
}

function cannot(): Promise<never> {
  return Promise.reject(new ServiceError('NotImplemented', 'This HSM signs with RS256 only.'));
}

function sealOf(identity: KeyIdentity, blob: PackedBytes): PackedBytes {
  return packBytes(createHash('sha256').update(JSON.stringify(identity)).update(blob).digest());
}
