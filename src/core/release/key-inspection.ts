import type { KeyMaterial } from '../keys/key.ts';

/** What the module says of a private or secret key that is loaded; undefined where it says nothing. */
export interface LoadedObject {
  readonly class: 'private' | 'secret';
  readonly keyType: 'RSA' | 'EC' | 'AES' | 'ML-DSA';
  /** CKA_TOKEN, CKA_PRIVATE and so on, in PKCS#11's words. */
  readonly token?: boolean;
  readonly private?: boolean;
  readonly sensitive?: boolean;
  readonly extractable?: boolean;
  readonly alwaysSensitive?: boolean;
  readonly neverExtractable?: boolean;
  readonly local?: boolean;
  /** Bits of the modulus, of the curve's field or of the key; absent for ML-DSA. SoftHSM 2.6.1 doesn't know it of unwrapped AES keys. */
  readonly bits?: number;
}

/** What the module says of itself and of its token; versions as "major.minor". */
export interface ModuleFacts {
  readonly manufacturer: string;
  readonly library: string;
  readonly libraryVersion: string;
  readonly cryptokiVersion: string;
  readonly token: {
    readonly manufacturer: string;
    readonly model: string;
    readonly serialNumber: string;
    readonly hardwareVersion: string;
    readonly firmwareVersion: string;
  };
}

interface KeyInspection {
  readonly object: LoadedObject;
  readonly module: ModuleFacts;
  /** Whether the HSM verified with the public half what it had signed with the private one; absent for AES. */
  readonly publicHalfMatches?: boolean;
}

export interface KeyInspector {
  /** Loads a key, its seal verified, and asks the module about it. Errors as with Hsm. */
  inspect(key: KeyMaterial): Promise<KeyInspection>;
}
