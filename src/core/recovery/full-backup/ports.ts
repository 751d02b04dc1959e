import type { AuditedChange } from '../../audit/record.ts';
import type { KeyName } from '../../keys/key.ts';

/** Where full backups lie: one folder for each, files in it. */
export interface BackupStorage {
  /** Where that is, for answers, logs and the audit log: without a token or another secret. */
  readonly place: string;
  /**
   * Writes a file whole or not at all, as it comes, in bounded memory.
   * @param path folder and file, such as `mhsm-default-20261128070000-5f3c09ab/manifest.json`
   * @throws ServiceError of the kind that says what the storage refused, without its secrets
   */
  write(path: string, content: AsyncIterable<Uint8Array>): Promise<void>;
  /** In pieces. @throws ServiceError where there is no such file, or the storage refuses or fails in the middle */
  read(path: string): AsyncIterable<Uint8Array>;
  /** Folders at the top whose names begin so. @throws ServiceError where there are too many */
  listFolders(prefix: string): Promise<readonly string[]>;
  removeFolder(folder: string): Promise<void>;
  /**
   * Makes a folder that nobody else has made, or makes at this moment: what is in it from then on is the caller's own.
   * @throws ServiceError Conflict where it is there
   */
  claimFolder(folder: string): Promise<void>;
  /** Writes and removes a small file of its own. @throws ServiceError where that isn't possible */
  check(): Promise<void>;
  close(): Promise<void>;
}

/** How far a backup or a restore is: for bars and metrics. */
export interface RecoveryProgress {
  readonly keys: number;
  readonly ofKeys: number;
  /** Of the archive, written or read. */
  readonly bytes: number;
}

/** By which job a backup was made, and who had asked for that. */
export interface BackupOrigin {
  readonly askedBy: 'caller' | 'operator' | 'schedule';
  /** 32 hex digits. */
  readonly job: string;
}

export interface FullBackupOptions {
  /** Becomes a part of what the backup authenticates. */
  readonly madeBy?: BackupOrigin;
  /** Whether the records of the audit log go along; its heads and checkpoints do always. */
  readonly withAuditRecords: boolean;
  readonly onProgress?: (progress: RecoveryProgress) => void;
  readonly signal?: AbortSignal;
}

/** A full restore among the pool's jobs: whoever takes it for dead says so there, and then it takes no place. */
export interface RestoreJob {
  readonly id: string;
  /**
   * From then on the pool serves nothing, until the restore has taken its place or has failed.
   * @throws ServiceError Conflict where the job was given up
   */
  closePool(): Promise<void>;
}

/** What is in a backup, from its beginning, which is authenticated. */
export interface BackupSummary {
  readonly folder: string;
  readonly poolId: string;
  readonly pool: string;
  readonly madeAt: Date;
  readonly keys: number;
  readonly versions: number;
  readonly bytes: number;
  readonly withAuditRecords: boolean;
  /** Absent where a version made it that didn't say so. */
  readonly madeBy?: BackupOrigin;
}

/** Full backups of a pool. Who may is decided before, and that nothing else is under way. */
export interface FullBackups {
  /** The name of a new folder: `mhsm-{pool}-{YYYYMMDDHHmmss}-{8 random hex digits}`, UTC. */
  newFolder(): string;
  /** One snapshot of the pool, in a folder that wasn't there. Nothing is left in the storage of a backup that fails. */
  create(
    storage: BackupStorage,
    folder: string,
    options: FullBackupOptions,
    change: AuditedChange,
  ): Promise<BackupSummary>;
  /** Reads all of it and restores nothing. @throws ServiceError for one that was cut, altered or is another domain's */
  verify(
    storage: BackupStorage,
    folder: string,
    options?: Pick<FullBackupOptions, 'onProgress' | 'signal'>,
  ): Promise<BackupSummary>;
  /**
   * The pool becomes what it was, all or nothing, and the job has succeeded in that very moment. Everything is read and
   * verified while the pool serves; it is closed then, and what was written until then is lost with all that has come since
   * the backup.
   */
  restore(
    storage: BackupStorage,
    folder: string,
    options: Pick<FullBackupOptions, 'onProgress' | 'signal'>,
    job: RestoreJob,
    change: AuditedChange,
  ): Promise<BackupSummary>;
  /** One key that isn't there, not even deleted. @throws ServiceError KeyExists, KeyIsDeleted, KeyNotFound */
  restoreKey(
    storage: BackupStorage,
    folder: string,
    name: KeyName,
    options: Pick<FullBackupOptions, 'onProgress' | 'signal'>,
    change: AuditedChange,
  ): Promise<BackupSummary>;
}
