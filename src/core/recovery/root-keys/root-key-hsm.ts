import type { KeyIdentity, KeyMaterial, KeyVersionId, VerifiedMaterial } from '../../keys/key.ts';

/**
 * What a key is to be wrapped by: the root keys of now; a pair of backup keys, which outlives generations; or the root keys
 * of another pool that the HSM holds, as of one whose security domain was uploaded.
 */
export type RewrapTarget =
  | 'current'
  | { readonly pair: KeyVersionId }
  | { readonly poolId: string; readonly generation: number };

export interface RewrapSource {
  /** Which pair of backup keys has wrapped it; the root keys of the generation that it names where absent. */
  readonly pair?: KeyVersionId | undefined;
  /** To which it is bound from now on; the same as before where absent. */
  readonly identity?: KeyIdentity;
}

/** Moves keys between root keys and backup keys, inside the HSM. */
export interface KeyRewrapper {
  /**
   * The same key wrapped and sealed by other keys; its seal is verified first.
   * @throws ServiceError KeyIntegrityViolation, HsmUnavailable for root keys or backup keys that aren't there
   */
  rewrap(
    material: KeyMaterial,
    target: RewrapTarget,
    source?: RewrapSource,
  ): Promise<VerifiedMaterial>;
}

/** What root keys say of each other, by HMACs: each says it of those of its pool. */
export interface RootKeyWitness {
  /** Generations of which the HSM holds both keys, whoever has made them. */
  listWholeGenerations(): Promise<readonly number[]>;
  /** That a generation, with the keys that the HSM holds of it, comes after an older one: said by that. 32 bytes. */
  voucher(by: number, generation: number): Promise<Uint8Array>;
  /** That these older generations, and no others, go when nothing is sealed by them: said by a generation. 32 bytes. */
  retirementList(generation: number, retires: readonly number[]): Promise<Uint8Array>;
}

/** What the HSM itself remembers of generations, whatever rows say. */
export interface RootKeyMemory {
  /** Those that have been a pool's current ones here and weren't destroyed as such, oldest first. @param poolId this one where absent */
  listUsedGenerations(poolId?: string): Promise<readonly number[]>;
  /** Remembers the current ones as such. An HSM that takes no object for it is written to the log, and no reason not to serve. */
  rememberUsed(): Promise<void>;
  /** Forgets that newer ones than the current ones have been in use: an operator has gone back to these. */
  forgetNewer(): Promise<void>;
  /** Those of a pool that another pool's upload has brought in. */
  listBrought(poolId: string): Promise<readonly number[]>;
  rememberBrought(poolId: string, generation: number): Promise<void>;
  /** Destroys all root keys of a pool that is purged. The HSM has been opened for no pool. */
  destroyRootKeysOf(poolId: string): Promise<void>;
  /** Destroys root keys of another pool. */
  destroyBrought(poolId: string, generation: number): Promise<void>;
}

/** Generations of a pool's root keys in the HSM. */
export interface RootKeyMaker extends RootKeyWitness {
  /** The one by which new keys are sealed here. */
  rootGeneration(): number;
  /**
   * Makes root keys. They get the next number of which the HSM holds nothing: what an attempt that was cut off has left is
   * passed over, and so is what was brought in.
   * @returns their number, and 32 bytes that only they give
   */
  makeRootKeys(
    after: number,
  ): Promise<{ readonly generation: number; readonly rootCheck: Uint8Array }>;
  /** Generations of which the HSM holds something, be it made here or brought in. @param poolId this one where absent */
  listRootGenerations(poolId?: string): Promise<readonly number[]>;
  /** Whether it holds those, and no others of their number: new keys are not sealed by them yet. */
  holdsRootKeys(generation: number, rootCheck: Uint8Array): Promise<boolean>;
  /** New keys are sealed by that generation from now on, which older ones have vouched for. False where the token doesn't hold it, or holds another, and for an older one. The HSM remembers it. */
  useRootKeys(generation: number, rootCheck: Uint8Array): Promise<boolean>;
  /** Says for a later process that the generation may be destroyed: an HMAC by the current one. */
  retirementProof(generation: number): Promise<Uint8Array>;
  /** Destroys the root keys of a generation that isn't the current one. Those that aren't there are passed over. */
  destroyRootKeys(generation: number): Promise<void>;
}

/** Root keys on their way from one HSM to another, wrapped by a one-time key inside the first and opened inside the second. */
export interface WrappedRootKeys {
  readonly poolId: string;
  readonly generation: number;
  readonly wrap: Uint8Array;
  readonly seal: Uint8Array;
  /** 32 bytes that only they give. */
  readonly rootCheck: Uint8Array;
  /** A key of no use, wrapped by `root-wrap`: what opens it is the right one. */
  readonly wrapCheck: Uint8Array;
}

/** Takes root keys from one HSM to another. */
export interface RootKeyCarrier {
  /**
   * Makes root keys that are no pool's yet, in the one moment in which they may leave; what stays in the HSM can't.
   * @param after they get the next number of which the HSM holds nothing
   * @param by the one-time key, 32 bytes
   * @throws ServiceError NotImplemented for a module that can't, HsmUnavailable; then nothing of them is left
   */
  exportRootKeys(after: number, by: Uint8Array): Promise<WrappedRootKeys>;
  /** Destroys what was exported and did not become a pool's. */
  discardRootKeys(generation: number): Promise<void>;
  /**
   * Puts them into the HSM, from where they can't leave. Nothing is there before all is checked. Those that are there
   * already are taken.
   * @param backupKeys which they have sealed
   * @throws ServiceError BadParameter for what isn't root keys, Conflict where the HSM holds others of that name,
   * NotImplemented for a module that can't
   */
  importRootKeys(
    keys: WrappedRootKeys,
    by: Uint8Array,
    backupKeys: readonly KeyMaterial[],
  ): Promise<void>;
}
