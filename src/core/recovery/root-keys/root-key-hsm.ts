import type { KeyIdentity, KeyMaterial, VerifiedMaterial } from '../../keys/key.ts';

/** What root keys a key is to be wrapped by: those of now, or those of backups, which outlive generations. */
type RewrapTarget = 'current' | 'backup';

/** Moves keys between root keys, inside the HSM. */
export interface KeyRewrapper {
  /**
   * The same key wrapped and sealed by other root keys; its seal is verified first.
   * @param identity to which it is bound from now on; the same where absent
   * @throws ServiceError KeyIntegrityViolation
   */
  rewrap(
    material: KeyMaterial,
    target: RewrapTarget,
    identity?: KeyIdentity,
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
