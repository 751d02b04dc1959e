import { ServiceError } from '../errors.ts';
import type { KeyIdentity, KeyVersionId } from '../keys/key.ts';
import type { EncryptionCountStore } from './ports.ts';

/**
 * With random 96-bit IVs a key may encrypt so often with GCM and no oftener: beyond, an IV is too likely to come twice
 * (SP 800-38D §8.3).
 */
export const GCM_LIMIT = 2 ** 32;

export interface EncryptionLimitOptions {
  readonly store: EncryptionCountStore;
  /** Encryptions that a key version may make. */
  readonly limit: number;
  /** Key versions whose rest is kept in memory. What is forgotten counts as used: at most a few thousand a time. */
  readonly remembered: number;
  /** A key has used half of what it may. */
  readonly onHalfUsed: (identity: KeyIdentity, used: number) => void;
}

export type EncryptionLimit = ReturnType<typeof createEncryptionLimit>;

/** A process sets aside a few at first, and more for keys that are used much, so that the store is asked seldom. */
const RESERVATION = { first: 64, growth: 4, most: 65_536 };

interface Reserve {
  left: number;
  next: number;
  asking: Promise<void> | undefined;
}

/** Counts the GCM encryptions of key versions across all processes: never too few, and a little too many. */
export function createEncryptionLimit(options: EncryptionLimitOptions) {
  const { store, limit, remembered, onHalfUsed } = options;
  const reserves = new Map<KeyVersionId, Reserve>();

  async function ask(identity: KeyIdentity, reserve: Reserve): Promise<void> {
    const { granted, used } = await store.reserveEncryptions(identity.version, reserve.next, limit);
    if (granted === 0)
      throw new ServiceError(
        'EncryptionLimitReached',
        `This key version has encrypted ${limit} times with AES-GCM, which is as often as is safe: rotate the key.`,
      );
    reserve.left += granted;
    reserve.next = Math.min(reserve.next * RESERVATION.growth, RESERVATION.most);
    if (used - granted < limit / 2 && used >= limit / 2) onHalfUsed(identity, used);
  }

  function reserveOf(version: KeyVersionId): Reserve {
    const known = reserves.get(version);
    if (known !== undefined) return known;
    const reserve: Reserve = { left: 0, next: RESERVATION.first, asking: undefined };
    reserves.set(version, reserve);
    if (reserves.size > remembered) {
      const oldest = reserves.keys().next();
      if (!oldest.done) reserves.delete(oldest.value);
    }
    return reserve;
  }

  return {
    /** Counts one encryption before it is made. @throws ServiceError EncryptionLimitReached */
    async spend(identity: KeyIdentity): Promise<void> {
      const reserve = reserveOf(identity.version);
      while (reserve.left === 0) {
        // Those who come meanwhile wait for the same answer.
        reserve.asking ??= ask(identity, reserve).finally(() => {
          reserve.asking = undefined;
        });
        await reserve.asking;
      }
      reserve.left -= 1;
    },
  };
}
