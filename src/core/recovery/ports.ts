import type { AuditedChange } from '../audit/record.ts';
import type { KeyName, KeyVersion, VerifiedKey } from '../keys/key.ts';
import type { RotationPolicy } from '../keys/rotation/rotation.ts';

/** A key with everything that belongs to it, as a backup holds it. */
export interface WholeKey<Version extends KeyVersion = KeyVersion> {
  readonly name: KeyName;
  readonly rotationPolicy?: RotationPolicy;
  /** Oldest first. */
  readonly versions: readonly {
    readonly version: Version;
    /** AES-GCM encryptions, at least as many as were made. */
    readonly encryptions: number;
  }[];
}

/** Keys read and written whole. */
export interface KeyArchive {
  /** Undefined where there is no such key, or only a deleted one. @throws ServiceError KeyTooLarge */
  readKey(name: KeyName): Promise<WholeKey | undefined>;
  /** The version that answers for it. @throws ServiceError KeyExists, KeyIsDeleted */
  insertKey(key: WholeKey, change: AuditedChange): Promise<KeyVersion>;
}

/** What a backup blob holds. */
export interface BackupContents<Version extends KeyVersion = KeyVersion> {
  /** Which form of contents it is. */
  readonly format: unknown;
  readonly key: WholeKey<Version>;
}

export interface OpenedBackup {
  /** Which of the keys has opened it, by its place among them. */
  readonly openedBy: number;
  readonly contents: BackupContents;
}

/** Puts what a backup holds under a key of 64 bytes (authenticated encryption), as a base64url text, and takes it out again. */
export interface BlobProtector {
  /** @throws ServiceError Overloaded where too many wait */
  protect(key: Uint8Array, contents: BackupContents<VerifiedKey>): Promise<string>;
  /**
   * Undefined for what was made with none of these keys, or was altered since, be it in one bit.
   * @param blob the text in ASCII
   * @throws ServiceError Overloaded where too many wait
   */
  open(keys: readonly Uint8Array[], blob: Uint8Array): Promise<OpenedBackup | undefined>;
}
