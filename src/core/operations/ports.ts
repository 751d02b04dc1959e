import type { KeyVersionId } from '../keys/key.ts';

/** How often key versions have encrypted with AES-GCM, over all processes. */
export interface EncryptionCountStore {
  /**
   * Sets aside up to `wanted` encryptions for the caller; none beyond `limit`.
   * @returns how many were granted, and how many are used or set aside by now
   */
  reserveEncryptions(
    version: KeyVersionId,
    wanted: number,
    limit: number,
  ): Promise<{ readonly granted: number; readonly used: number }>;
}
