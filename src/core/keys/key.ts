import type { AesSize, Curve, KeyType, ParameterSet, RsaSize } from '../operations/algorithms.ts';
import { ServiceError } from '../errors.ts';
import type { PackedBytes } from './packed-bytes.ts';
import type { ReleasePolicy } from '../release/release-policy.ts';

declare const brand: unique symbol;
/** 1 to 127 characters of 0-9, a-z, A-Z and "-"; compared without regard to case, kept as first written. */
export type KeyName = string & { readonly [brand]: 'KeyName' };
/** 32 lower-case hex digits. */
export type KeyVersionId = string & { readonly [brand]: 'KeyVersionId' };

export const KEY_OPERATIONS = [
  'encrypt',
  'decrypt',
  'sign',
  'verify',
  'wrapKey',
  'unwrapKey',
  'secureWrapKey',
  'secureUnwrapKey',
  'import',
  'export',
  'deriveKey',
] as const;
export type KeyOperation = (typeof KEY_OPERATIONS)[number];

/** What a key is made of; fixed for the life of a version. */
export type KeySpec =
  | { readonly keyType: 'RSA-HSM'; readonly bits: RsaSize; readonly publicExponent: number }
  | { readonly keyType: 'EC-HSM'; readonly curve: Curve }
  | { readonly keyType: 'oct-HSM'; readonly bits: AesSize }
  | { readonly keyType: 'AKP-HSM'; readonly parameterSet: ParameterSet };

/**
 * The public half, big-endian and unsigned: `n` and `e` without leading zero bytes, `x` and `y` padded to the width of the
 * curve (RFC 7518 §6.2.1.2). `pub` of ML-DSA: as FIPS 204 §7.2 encodes it.
 */
export type PublicKey =
  | { readonly keyType: 'RSA-HSM'; readonly n: Uint8Array; readonly e: Uint8Array }
  | { readonly keyType: 'EC-HSM'; readonly x: Uint8Array; readonly y: Uint8Array }
  | { readonly keyType: 'AKP-HSM'; readonly pub: Uint8Array };

/** The members of a public key in the order in which they are kept and sealed. */
export function publicMembers(
  key: PublicKey,
): readonly [first: Uint8Array, second: Uint8Array | undefined] {
  switch (key.keyType) {
    case 'RSA-HSM':
      return [key.n, key.e];
    case 'EC-HSM':
      return [key.x, key.y];
    case 'AKP-HSM':
      return [key.pub, undefined];
  }
}

/** What the seal binds a key's material to: a blob moved to another row, or a row altered, no longer verifies. */
export interface KeyIdentity {
  readonly pool: string;
  readonly name: KeyName;
  readonly version: KeyVersionId;
  readonly operations: readonly KeyOperation[];
  readonly exportable: boolean;
  /** Whether it was made inside the HSM, or was once outside. */
  readonly origin: KeyOrigin;
  /** What an exportable key must have, and no other key has. */
  readonly releasePolicy?: ReleasePolicy;
}

export type KeyOrigin = 'generated' | 'imported';

/** The private or secret key as it is kept outside the HSM: wrapped inside it by the root key, and sealed. */
interface SealedKey {
  /** Which generation of the root keys wrapped and sealed it. */
  readonly rootGeneration: number;
  /** RFC 5649 (AES key wrap with padding) under `root-wrap`; PKCS #8 for RSA, EC and ML-DSA, the bare key for AES. */
  readonly blob: PackedBytes;
  /** For oct-HSM: the secret of HS256, HS384 and HS512, wrapped likewise: its type in the HSM is another. */
  readonly macBlob?: PackedBytes;
  /** HMAC-SHA256 under `root-seal` over identity, spec, public half, generation and blobs. */
  readonly seal: PackedBytes;
}

/** All that the HSM needs in order to use a key version. */
export interface KeyMaterial {
  readonly identity: KeyIdentity;
  readonly spec: KeySpec;
  readonly publicKey?: PublicKey;
  readonly sealed: SealedKey;
}

declare const verified: unique symbol;
/**
 * Material whose seal the HSM has verified, or made just now. Only an Hsm gives it out, and answers and backups are made of
 * nothing else: what a record holds may be anybody's who writes to the database.
 */
export type VerifiedMaterial = KeyMaterial & { readonly [verified]: true };

export interface VerifiedKey extends KeyVersion {
  readonly material: VerifiedMaterial;
}

/** A version of a key as the pool keeps it. */
export interface KeyVersion {
  readonly material: KeyMaterial;
  readonly attributes: KeyAttributes;
  readonly tags: Readonly<Record<string, string>>;
}

/** Times are seconds since 1970-01-01 UTC. */
export interface KeyAttributes {
  readonly enabled: boolean;
  readonly notBefore?: number;
  readonly expires?: number;
  readonly created: number;
  readonly updated: number;
}

/** A soft-deleted key: the version that answers for it, and when. Seconds since 1970-01-01 UTC. */
export interface DeletedKey<Version extends KeyVersion = KeyVersion> {
  readonly current: Version;
  readonly deletedAt: number;
  readonly purgeAt: number;
}

const NAME = /^[0-9a-zA-Z-]{1,127}$/;
const VERSION = /^[0-9a-f]{32}$/i;

/** @throws ServiceError InvalidKeyIdentifier */
export function parseKeyName(text: string): KeyName {
  if (!NAME.test(text)) throw new ServiceError('InvalidKeyIdentifier', 'Invalid key identifier');
  return text as KeyName;
}

/** @throws ServiceError InvalidKeyIdentifier */
export function parseKeyVersionId(text: string): KeyVersionId {
  if (!VERSION.test(text)) throw new ServiceError('InvalidKeyIdentifier', 'Invalid key identifier');
  return text.toLowerCase() as KeyVersionId;
}

/** The operations of a key whose creator named none, as the live service gives them. */
export const DEFAULT_OPERATIONS: Readonly<Record<KeyType, readonly KeyOperation[]>> = {
  'RSA-HSM': ['wrapKey', 'decrypt', 'encrypt', 'unwrapKey', 'sign', 'verify'],
  'EC-HSM': ['sign', 'verify'],
  'oct-HSM': ['wrapKey', 'decrypt', 'encrypt', 'unwrapKey', 'sign', 'verify'],
  'AKP-HSM': ['sign', 'verify'],
};
