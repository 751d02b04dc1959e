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

/** Generations of a pool's root keys in the HSM. */
export interface RootKeyMaker {
  /**
   * Makes the root keys of a generation. What an attempt that was cut off has left is taken, and the missing one made.
   * @returns 32 bytes that only they give
   */
  prepareRootKeys(generation: number): Promise<Uint8Array>;
  /** New keys are sealed by that generation from now on. False where the token doesn't hold it, or holds another. */
  useRootKeys(generation: number, rootCheck: Uint8Array): Promise<boolean>;
  /** Says for a later process that the generation may be destroyed: an HMAC by the current one. */
  retirementProof(generation: number): Promise<Uint8Array>;
  /** Destroys the root keys of a generation that isn't the current one. Those that aren't there are passed over. */
  destroyRootKeys(generation: number): Promise<void>;
}
