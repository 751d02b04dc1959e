import type { IAlgorithm } from 'graphene-pk11';
import type { Algorithm } from '../../core/operations/algorithms.ts';
import type { TransferableType } from '../../core/keys/hsm.ts';
import type { KeyKeeping } from '../../core/keys/key-keeping.ts';
import { type KeyShape, sizeOf } from '../../core/keys/key-shape.ts';
import type { ReleaseWrap } from '../../core/release/key-release.ts';
import type { Lack } from './lack.ts';

/** Whether the module does a padding itself, or does the bare RSA operation while the padding is done around it. */
export type Padding = 'native' | 'raw';

/** How a module has AES key wrap with padding (RFC 5649). */
export interface KeyWrapPadded {
  /** Under which number: PKCS#11 has two, and vendors have their own. */
  readonly mechanism: IAlgorithm;
  /**
   * SoftHSM 2.6.1 pads to 8 bytes first and then writes that length into the length indicator: what isn't a multiple of
   * 8 bytes comes back with zeros behind it. The other direction is right.
   */
  readonly keepsLength: boolean;
}

/**
 * How keys are wrapped that are kept outside the HSM. `kwp`: RFC 5649; where a module lacks it, AES-GCM (SP 800-38D) or
 * AES-CBC with padding (PKCS#11 v2.40 curr. §2.13). The seal's HMAC is verified before any of them is unwrapped.
 */
export type SealingWrap =
  { readonly kind: 'kwp'; readonly mechanism: IAlgorithm } | { readonly kind: 'gcm' | 'cbc-pad' };

/**
 * Whose IV a GCM encryption is made with. `ours`: the one that is given, as the standard has it. `appended`: the HSM's own,
 * which stands behind the tag (Luna in FIPS mode). `written`: the HSM's own, which it writes into the parameter (CloudHSM).
 */
export type GcmIv = 'ours' | 'appended' | 'written';

/**
 * All that had to be found out by trying: names and lists of mechanisms aren't to be believed. Plain data, made at each
 * opening of the module; nothing else in this folder asks what a module is.
 */
export interface Capabilities {
  /** Manufacturer, library and version, for sentences. */
  readonly module: string;
  /** Undefined where the module has RFC 5649 under no number that is known. */
  readonly keyWrapPadded: KeyWrapPadded | undefined;
  /** How the pool keeps its keys, for which all this was tried. */
  readonly keeping: KeyKeeping;
  /** Undefined where keys aren't wrapped to be kept. */
  readonly sealing: SealingWrap | undefined;
  /** Ways of wrapping keys that don't come back, and why: a key that another module has wrapped so can't be opened here. */
  readonly sealLacks: Readonly<Partial<Record<SealingWrap['kind'], Lack>>>;
  /**
   * How a caller's bytes are wrapped and unwrapped. `objects`: they become an object for the length of a call. `blocks`: the
   * module wraps no such objects, so RFC 3394 and RFC 5649 are built from single blocks that it enciphers.
   */
  readonly dataKeyWrap: 'objects' | 'blocks';
  /** Whether a template for C_UnwrapKey may say CKA_SENSITIVE false and CKA_EXTRACTABLE true; else it says neither. */
  readonly unwrapsReadable: boolean;
  /** Whether a template for C_UnwrapKey of an EC private key has to say its public point, as NSS wants it. */
  readonly wantsPoint: boolean;
  /** Whether the template of a public key may say CKA_PRIVATE false; else it doesn't say it. */
  readonly saysPublic: boolean;
  readonly oaepSha1: Padding;
  /** SoftHSM 2.6.1 answers CKR_ARGUMENTS_BAD to OAEP with SHA-256. */
  readonly oaepSha256: Padding;
  readonly oaepSha384: Padding;
  /**
   * OpenSSL 3.2 and newer below SoftHSM answer a wrong PKCS #1 v1.5 padding with random bytes instead of an error
   * (implicit rejection): right for TLS, but here a wrong ciphertext has to be refused.
   */
  readonly pkcs1: Padding;
  /** Undefined where it can't be found out: GCM isn't used then. */
  readonly gcmIv: GcmIv | undefined;
  /** Whether the secret of HS256, HS384 and HS512 beside an AES key can be kept. */
  readonly keepsMacKeys: boolean;
  /** Whether keys of ML-DSA are wrapped, or their seeds are: see keys/keeping/sealed-seeds.ts. */
  readonly mlDsaKeys: 'whole' | 'seeds';
  /** Why ML-DSA doesn't sign μ; undefined where it does. */
  readonly externalMuLack: Lack | undefined;
  /** Kinds of keys that can't be kept, by keyKindOf, and why. */
  readonly keyLacks: Readonly<Partial<Record<KeyKind, Lack>>>;
  /** Algorithms that can't be used, and why. Those of kinds of keys that can't be kept aren't tried. */
  readonly algorithmLacks: AlgorithmLacks;
  /** Kinds of keys that can be kept and aren't released, and why; of a sealed pool. */
  readonly releaseLacks: Readonly<Partial<Record<KeyKind, Lack>>>;
  /** Ways of wrapping a released key for its recipient that the module lacks, and why. */
  readonly releaseWrapLacks: Readonly<Partial<Record<ReleaseWrap, Lack>>>;
  /** Types of keys that aren't taken in from a transfer blob, and why. */
  readonly transferLacks: Readonly<Partial<Record<TransferableType, Lack>>>;
}

/** By the kinds of keys with which they fail: some modules take no short keys, say. */
type AlgorithmLacks = Readonly<
  Partial<Record<Algorithm, Readonly<Partial<Record<KeyKind, Lack>>>>>
>;

/** What an operation has to know of the module; the rest says which operations there are. */
export type Mechanics = Omit<Capabilities, keyof Lacks>;

/** What the module can't do, that isn't asked by how others are done. */
export type Lacks = Pick<
  Capabilities,
  | 'keyLacks'
  | 'algorithmLacks'
  | 'externalMuLack'
  | 'releaseLacks'
  | 'releaseWrapLacks'
  | 'transferLacks'
>;

/** A type with its size, curve or parameter set. */
export type KeyKind =
  `RSA-HSM ${number}` | `EC-HSM ${string}` | `oct-HSM ${number}` | `AKP-HSM ${string}`;

export function keyKindOf(spec: KeyShape): KeyKind {
  return `${spec.keyType} ${sizeOf(spec)}` as KeyKind;
}
