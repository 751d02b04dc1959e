import type {
  Algorithm,
  CipherAlgorithm,
  Curve,
  KeyType,
  SigningAlgorithm,
} from '../operations/algorithms.ts';
import type { ReleaseWrap } from '../release/key-release.ts';
import type { KeyShape } from './key-shape.ts';
import type { KeyIdentity, KeyMaterial, KeySpec, KeyVersionId, VerifiedMaterial } from './key.ts';
import type { KeyKeeping } from './key-keeping.ts';
import type { ObjectUse } from './objects/ports.ts';
import type { BeginObjects } from './objects/object-id.ts';
import type { PlainKey } from './import/plain-key.ts';

/** What goes into decrypt and unwrapkey, and comes out of encrypt and wrapkey. */
export interface Ciphertext {
  readonly value: Uint8Array;
  /** 12 bytes for GCM (always made by the HSM), 16 for CBC (from the caller). */
  readonly iv?: Uint8Array;
  /** 16 bytes; GCM only. */
  readonly tag?: Uint8Array;
}

export interface CipherParameters {
  /** CBC only: 16 bytes from the caller. */
  readonly iv?: Uint8Array;
  /** GCM only: additional authenticated data. */
  readonly aad?: Uint8Array;
}

/** What a signature by ML-DSA is made of besides; no other algorithm takes it. */
export interface SigningParameters {
  /** At most 255 bytes, which whoever verifies has to know (FIPS 204 §5.2, ctx). */
  readonly context?: Uint8Array;
  /** What is signed is μ, 64 bytes that the caller has made of public key, context and message (FIPS 204 §6.2). */
  readonly isMu?: true;
}

/**
 * The HSM as the domain sees it. Every method may fail with ServiceError `HsmBusy` (no session within the wait limit) or
 * `HsmUnavailable`, and every one that takes a key with `KeyIntegrityViolation` when its seal does not verify.
 * Whether an algorithm fits a key, and lengths that the key service can check, have been checked before.
 */
export interface Hsm {
  /**
   * Generates inside the HSM, and seals. Outside there is no copy but the wrapped one of a sealed key, which is returned.
   * @param by for whom, who then has his own line among those that wait; the service itself where absent
   * @param begun gives the objects that a resident key is to be, and puts them on record; called when the HSM is about to be asked
   * @throws ServiceError Overloaded where too many are being made for him, HsmFull
   */
  generateKey(
    identity: KeyIdentity,
    spec: KeySpec,
    by?: string,
    begun?: BeginObjects,
  ): Promise<VerifiedMaterial>;
  /** The same material bound to another identity: the present seal is verified first. */
  reseal(key: KeyMaterial, identity: KeyIdentity): Promise<VerifiedMaterial>;
  /** Encrypt, and wrapkey: for RSA and AES-GCM, -CBC, -CBCPAD, -KW and CKM_AES_KEY_WRAP(_PAD). */
  encrypt(
    key: KeyMaterial,
    algorithm: CipherAlgorithm,
    plaintext: Uint8Array,
    parameters: CipherParameters,
  ): Promise<Ciphertext>;
  /** Decrypt, and unwrapkey. @throws ServiceError DecryptionFailed, the same whatever was wrong with the ciphertext. */
  decrypt(
    key: KeyMaterial,
    algorithm: CipherAlgorithm,
    ciphertext: Ciphertext,
    parameters: CipherParameters,
  ): Promise<Uint8Array>;
  /**
   * Signs a digest (a whole message for HS256, HS384, HS512 and ML-DSA; at most k - 11 bytes for RSNULL). ECDSA gives
   * r || s, and ML-DSA another signature each time (hedged, FIPS 204 §3.4).
   */
  sign(
    key: KeyMaterial,
    algorithm: SigningAlgorithm,
    digest: Uint8Array,
    parameters?: SigningParameters,
  ): Promise<Uint8Array>;
  /** False for every signature that is not right, whatever its length or form. */
  verify(
    key: KeyMaterial,
    algorithm: SigningAlgorithm,
    digest: Uint8Array,
    signature: Uint8Array,
    parameters?: SigningParameters,
  ): Promise<boolean>;
  /** Bytes from the HSM's own generator; `count` at least 1. */
  random(count: number): Promise<Uint8Array>;
}

/** PKCS #8 of ML-DSA doesn't tell the public half, and modules don't either. */
export type TransferableType = Exclude<KeyType, 'AKP-HSM'>;

/** The ways in for keys that were made elsewhere. Each ends as a sealed key, like one that was generated here. */
export interface KeyImporter {
  /**
   * Puts a key into the HSM, sees there that both halves belong together, wraps and seals it.
   * @param begun gives the objects that a resident key is to be, and puts them on record; called when the HSM is about to be asked
   * @throws ServiceError BadParameter when the HSM does not take it, HsmFull
   */
  importKey(identity: KeyIdentity, key: PlainKey, begun?: BeginObjects): Promise<VerifiedMaterial>;
  /**
   * Unwraps, inside the HSM, what was wrapped for `exchangeKey` with CKM_RSA_AES_KEY_WRAP (PKCS#11 v2.40 errata §2.1.18):
   * PKCS #8 for RSA and EC, the bare key for AES.
   * @throws ServiceError BadParameter when it can't be unwrapped, or is another key than expected
   */
  importTransferred(
    identity: KeyIdentity,
    exchangeKey: KeyMaterial,
    wrapped: Uint8Array,
    expected: { readonly keyType: TransferableType; readonly curve?: Curve },
    begun?: BeginObjects,
  ): Promise<VerifiedMaterial>;
}

/**
 * Secrets that follow from the pool's root keys and its backup keys: every HSM that holds them comes to the same. A pair of
 * backup keys goes by its version.
 */
export interface RootSecrets {
  /** The pool's own pairs, oldest first: by the last one new backups are made. Empty where the module keeps no HMAC keys. */
  readonly backupPairs: readonly KeyVersionId[];
  /** Those by which backups open: the pool's own, and those of a security domain that was uploaded. Newest first. */
  readonly openablePairs: readonly KeyVersionId[];
  /**
   * The key of a backup blob, 64 bytes for A256CBC-HS512 (RFC 7518 §5.2.5). It opens nothing but sealed keys.
   * @param pair by which the blob is made; the root keys where absent
   * @throws ServiceError HsmUnavailable, BadParameter where the module doesn't open the pair
   */
  backupKey(pair: KeyVersionId | undefined): Promise<Uint8Array>;
  /** The same, as 64 bytes for a full backup. */
  archiveKey(pair: KeyVersionId): Promise<Uint8Array>;
  /** Those of blobs that were made before the pool had backup keys, by the generations of root keys of then. */
  earlierBackupKeys(generations: readonly number[]): Promise<readonly Uint8Array[]>;
}

/** What an HSM may have or not. */
export interface HsmFeatures {
  /** How this pool's keys are kept in it. */
  readonly keeping: KeyKeeping;
  /** Whether it makes keys of ML-DSA (FIPS 204), be it of one parameter set. */
  readonly hasMlDsa: boolean;
  /** As it was found out when the HSM was opened last. @throws ServiceError HsmUnavailable while it is lost */
  offer(): Promise<HsmOffer>;
}

/** All kinds of keys and all algorithms that the service knows, and which of them this HSM lacks. */
export interface HsmOffer {
  /** Manufacturer, library and version. */
  readonly module: string;
  readonly keys: readonly (KeyShape & Offered)[];
  readonly algorithms: readonly ({
    readonly name: Algorithm;
    /** Of the keys that it fits and that can be kept: those with which it fails, where others do. */
    readonly except?: readonly (KeyShape & { readonly lack: string })[];
  } & Offered)[];
  /** Of a resident pool. */
  readonly objects?: ObjectUse;
  /** Signatures of μ by ML-DSA. */
  readonly externalMu: Offered;
  /** How keys leave, wrapped for a recipient; absent of a resident pool, whose keys don't. */
  readonly release?: {
    readonly keys: readonly (KeyShape & Offered)[];
    readonly wraps: readonly ({ readonly name: ReleaseWrap } & Offered)[];
  };
  /** Of which types keys are taken in that come wrapped for a key exchange key (BYOK). */
  readonly transfers: readonly ({ readonly keyType: TransferableType } & Offered)[];
}

interface Offered {
  /** The mechanism at which the HSM fails, and how; absent where it doesn't. */
  readonly lack?: string;
}
