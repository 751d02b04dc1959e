import type { KeyIdentity, KeyMaterial, KeyName, KeyVersionId } from '../key.ts';
import type { ObjectId } from './object-id.ts';
import type { ObjectPermit, ObjectProver, PermitClaim } from './permit.ts';

/** An object of a key that came to nothing, or is no more. */
export interface DoomedObject extends PermitClaim {
  readonly id: ObjectId;
  /** Nobody makes it any more: where it isn't there, it won't come any more either. */
  readonly isOver: boolean;
}

/**
 * What is on record of a resident pool's objects while no key's row tells of them: from before they are made until the row
 * is written, and from the row's removal until they are destroyed. So a crash in between leaves nothing unknown.
 */
export interface ObjectLedger {
  /**
   * Commits, before the HSM is asked, that these objects are to be made.
   * @param room how many there may be, if that is known: all who begin are counted one after the other
   * @returns how many there are with these, 0 without `room`; nothing is on record where these are too many
   */
  begin(
    objects: readonly ObjectPermit[],
    forKey: Pick<KeyIdentity, 'name' | 'version'>,
    room: number | undefined,
  ): Promise<number>;
  /**
   * Says of a version's objects that no row came to tell of them: they are to be destroyed.
   * @param isOver whether they are there now or never will be
   */
  giveUp(version: KeyVersionId, isOver: boolean): Promise<void>;
  /** The same of all that were to be made so long ago that nobody can be at it any more. @returns how many */
  giveUpOlderThan(seconds: number): Promise<number>;
  /** Some that are to be destroyed, for the caller alone for a while. */
  claimDoomed(): Promise<readonly DoomedObject[]>;
  /** These are allowed to be destroyed, as far as they are to be. */
  permit(objects: readonly ObjectPermit[]): Promise<void>;
  /** The same of those of a deleted key, for when it is purged. */
  retain(objects: readonly ObjectPermit[]): Promise<void>;
  /** They aren't given to be destroyed any more, before they are permitted. */
  setAside(objects: readonly ObjectId[]): Promise<void>;
  /** What the rows of a key's versions say, deleted or not, as far as they are objects. */
  findMaterials(name: KeyName): Promise<readonly KeyMaterial[]>;
  /** They are destroyed, or never came to be. */
  strike(objects: readonly ObjectId[]): Promise<void>;
  /** They aren't there, but may yet come. */
  noteAbsent(objects: readonly ObjectId[]): Promise<void>;
  /** Objects that keys are, that are to be, or that are no more needed; none that were looked for and aren't there. */
  count(): Promise<number>;
}

/** A resident pool's objects in the HSM, whatever the store knows of them. */
export interface HsmObjects extends ObjectProver {
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
