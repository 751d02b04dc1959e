import type { KeyMaterial, VerifiedMaterial } from '../keys/key.ts';

/** How a key is wrapped for release: RSA-OAEP (hash for label and MGF1) over a one-time AES-256 key, and RFC 5649 by that. */
export const RELEASE_WRAPS = {
  CKM_RSA_AES_KEY_WRAP: 'sha1',
  RSA_AES_KEY_WRAP_256: 'sha256',
  RSA_AES_KEY_WRAP_384: 'sha384',
} as const;
export type ReleaseWrap = keyof typeof RELEASE_WRAPS;

/** An RSA public key, big-endian without leading zero bytes. */
export interface RecipientKey {
  readonly n: Uint8Array;
  readonly e: Uint8Array;
}

/** The one way for a key to leave the HSM. Errors as with Hsm. */
export interface KeyRelease {
  /** The material again, its seal verified. @throws ServiceError KeyIntegrityViolation */
  requireIntact(key: KeyMaterial): Promise<VerifiedMaterial>;
  /**
   * Wraps an exportable key inside the HSM (PKCS#11 v3.0 §2.1.21): RSA-OAEP of the one-time key, then the key (PKCS #8 for
   * RSA and EC, the bare key for AES) by RFC 5649.
   * @throws ServiceError KeyOperationForbidden for a key that isn't sealed as exportable with a release policy
   */
  wrapForRelease(key: KeyMaterial, recipient: RecipientKey, wrap: ReleaseWrap): Promise<Uint8Array>;
}
