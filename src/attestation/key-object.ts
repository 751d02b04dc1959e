import { createPublicKey, type KeyObject } from 'node:crypto';
import type { PublicKey } from '../core/keys/key.ts';

/** @throws TypeError for a key that isn't RSA */
export function toKeyObject(publicKey: PublicKey): KeyObject {
  if (publicKey.keyType !== 'RSA-HSM') throw new TypeError('statements are signed with RSA keys');
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');
  return createPublicKey({
    format: 'jwk',
    key: { kty: 'RSA', n: text(publicKey.n), e: text(publicKey.e) },
  });
}
