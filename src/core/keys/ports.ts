import type { AuditedChange } from '../audit/record.ts';
import type { Page, PageRequest } from '../paging.ts';
import type { DeletedKey, KeyMaterial, KeyName, KeyVersion, KeyVersionId } from './key.ts';
import type { RotationPolicy } from './rotation/rotation.ts';

/**
 * Keys that are not deleted, and the deleted ones apart. Names are found without regard to case. `Found` is what is read one
 * by one; lists show nothing of a key's material.
 */
export interface KeyReader<Found extends KeyVersion = KeyVersion> {
  /** Without a version: the newest enabled one, or the newest where none is enabled. */
  findKey(name: KeyName, version?: KeyVersionId): Promise<Found | undefined>;
  /** One entry a key, its answering version, by name. */
  listKeys(page: PageRequest): Promise<Page<KeyVersion>>;
  /** Oldest first; empty for a name that isn't there. */
  listVersions(name: KeyName, page: PageRequest): Promise<Page<KeyVersion>>;
  findDeletedKey(name: KeyName): Promise<DeletedKey<Found> | undefined>;
  listDeletedKeys(page: PageRequest): Promise<Page<DeletedKey>>;
}

export interface VersionEdit<Edited extends KeyVersion, Material = Edited['material']> {
  /**
   * Makes of the version's material what is to be stored and answered, verified. The HSM is asked here, while no transaction is open and no lock is held;
   * it is asked again where the material has changed meanwhile.
   */
  readonly reseal: (material: KeyMaterial) => Promise<Material>;
  /** Gives the version back changed. It sees it locked, and so can't wait for anything; `material` is what is to be stored. */
  readonly apply: (current: KeyVersion, material: Material) => Edited;
}

/** Changes of keys; each commits in one transaction with its audit record. */
export interface KeyWriter {
  /**
   * Adds a version to the key of that name, or makes the key.
   * @returns the key's name as its creator wrote it; undefined, and nothing is written, where `onlyAfter` is named and isn't
   * the newest version any more
   * @throws ServiceError KeyIsDeleted
   */
  insertVersion(
    version: KeyVersion,
    change: AuditedChange,
    onlyAfter?: KeyVersionId,
  ): Promise<KeyName | undefined>;
  /**
   * Changes one version (the newest where none is named). Undefined where there is no such version.
   * @throws ServiceError Overloaded where others went on changing what was being resealed
   */
  updateVersion<Edited extends KeyVersion>(
    name: KeyName,
    version: KeyVersionId | undefined,
    edit: VersionEdit<Edited>,
    change: AuditedChange,
  ): Promise<Edited | undefined>;
  /** Soft-deletes all versions, until so many seconds later by the store's clock. Undefined where there is no such key. */
  deleteKey(
    name: KeyName,
    retentionSeconds: number,
    change: AuditedChange,
  ): Promise<DeletedKey | undefined>;
  /** Undoes deleteKey. Undefined where no deleted key has that name. */
  recoverKey(name: KeyName, change: AuditedChange): Promise<KeyVersion | undefined>;
  /** Removes a deleted key's material for good. False where no deleted key has that name. @throws ServiceError PurgeProtected */
  purgeKey(name: KeyName, change: AuditedChange): Promise<boolean>;
  /** Removes one key whose retention has ended by the store's clock; undefined where there is none. */
  purgeExpiredKey(change: AuditedChange): Promise<KeyName | undefined>;
}

/** A key as its rotation sees it: the newest version, enabled or not, and the policy if there is one. */
export interface RotatingKey {
  readonly newest: KeyVersion;
  readonly policy?: RotationPolicy;
}

/** Rotation policies, and what is due under them. Times are seconds since 1970-01-01 UTC. */
export interface RotationStore {
  /** Undefined where there is no such key. */
  findRotatingKey(name: KeyName): Promise<RotatingKey | undefined>;
  /** Sets the policy, or takes it away. False where there is no such key. */
  putPolicy(
    name: KeyName,
    policy: RotationPolicy | undefined,
    change: AuditedChange,
  ): Promise<boolean>;
  /** A key that is due at `now`, for the caller alone until `claimedUntil`; undefined where none is. */
  claimDueRotation(now: number, claimedUntil: number): Promise<RotatingKey | undefined>;
  /** A key whose owners are to be notified at `now`, once: it is not given again for the same version and date. */
  takeDueNotice(now: number, change: AuditedChange): Promise<KeyVersion | undefined>;
}
