import type { AesSize } from '../operations/algorithms.ts';
import type { RecipientKey } from './key-release.ts';
import type { KeyMaterial } from '../keys/key.ts';

/** How a key is wrapped: RFC 3394, RFC 5649, or RSAES-OAEP with SHA-256 (RFC 8017 §7.1). */
type SecureWrapForm = 'kw' | 'kwp' | 'oaep';

interface SecureWrapFacts {
  readonly keyType: 'RSA-HSM' | 'oct-HSM';
  readonly bits?: AesSize;
  readonly form: SecureWrapForm;
}

/** Names as in Azure's JsonWebKeyWrapAlgorithm. */
export const SECURE_WRAPS = {
  'RSA-OAEP-256': { keyType: 'RSA-HSM', form: 'oaep' },
  A128KW: { keyType: 'oct-HSM', bits: 128, form: 'kw' },
  A192KW: { keyType: 'oct-HSM', bits: 192, form: 'kw' },
  A256KW: { keyType: 'oct-HSM', bits: 256, form: 'kw' },
  A128KWPAD: { keyType: 'oct-HSM', bits: 128, form: 'kwp' },
  A192KWPAD: { keyType: 'oct-HSM', bits: 192, form: 'kwp' },
  A256KWPAD: { keyType: 'oct-HSM', bits: 256, form: 'kwp' },
  CKM_AES_KEY_WRAP: { keyType: 'oct-HSM', form: 'kw' },
  CKM_AES_KEY_WRAP_PAD: { keyType: 'oct-HSM', form: 'kwp' },
} as const satisfies Record<string, SecureWrapFacts>;
export type SecureWrapAlgorithm = keyof typeof SECURE_WRAPS;

export function findSecureWrap(
  name: string,
): (SecureWrapFacts & { readonly name: SecureWrapAlgorithm }) | undefined {
  if (!Object.hasOwn(SECURE_WRAPS, name)) return undefined;
  const algorithm = name as SecureWrapAlgorithm;
  return { name: algorithm, ...SECURE_WRAPS[algorithm] };
}

/** Data keys that nobody sees but an attested environment. Errors as with Hsm. */
export interface SecureWrapper {
  /** Makes an AES-256 key inside the HSM, and gives it wrapped by `key`; nothing else of it stays. */
  wrapFreshKey(key: KeyMaterial, algorithm: SecureWrapAlgorithm): Promise<Uint8Array>;
  /**
   * Opens inside the HSM what wrapFreshKey gave, and wraps it for a recipient as a release is (CKM_RSA_AES_KEY_WRAP).
   * @throws ServiceError DecryptionFailed, the same whatever was wrong with what is wrapped
   */
  rewrapForRecipient(
    key: KeyMaterial,
    algorithm: SecureWrapAlgorithm,
    wrapped: Uint8Array,
    recipient: RecipientKey,
  ): Promise<Uint8Array>;
}
