import type { KeyIdentity, KeyVersionId } from '../key.ts';
import type { ObjectId } from './object-id.ts';

/** An object of a key that came to nothing, or is no more. */
interface DoomedObject {
  readonly id: ObjectId;
  /** So old that whoever was to make it lives no more: where it isn't there, it won't come any more either. */
  readonly isOld: boolean;
}

/**
 * What is on record of a resident pool's objects while no key's row tells of them: from before they are made until the row
 * is written, and from the row's removal until they are destroyed. So a crash in between leaves nothing unknown.
 */
export interface ObjectLedger {
  /** Commits, before the HSM is asked, that these objects are to be made. */
  begin(objects: readonly ObjectId[], forKey: Pick<KeyIdentity, 'name' | 'version'>): Promise<void>;
  /** Says of a version's objects that no row came to tell of them: they are to be destroyed. */
  giveUp(version: KeyVersionId): Promise<void>;
  /** The same of all that were to be made so long ago that nobody can be at it any more. @returns how many */
  giveUpOlderThan(seconds: number): Promise<number>;
  /** Some that are to be destroyed, for the caller alone for a while. */
  claimDoomed(): Promise<readonly DoomedObject[]>;
  /** They are destroyed, or never came to be. */
  strike(objects: readonly ObjectId[]): Promise<void>;
  /** Objects that keys are, that are to be, or that are no more needed. */
  count(): Promise<number>;
}

/** A resident pool's objects in the HSM, whatever the store knows of them. */
export interface HsmObjects {
  /** @returns those of them that were there */
  destroyObjects(objects: readonly ObjectId[]): Promise<readonly ObjectId[]>;
  /** Token objects: all that this login sees, and this pool's among them. */
  countObjects(): Promise<{ readonly all: number; readonly own: number }>;
  /** Those of this pool. */
  listObjects(): Promise<readonly ObjectId[]>;
}

/** How many objects there are, of how many that there can be. */
export interface ObjectUse {
  readonly used: number;
  /** Undefined where it isn't known. */
  readonly limit: number | undefined;
}
