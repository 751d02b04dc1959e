import type { AuditedChange } from '../../audit/record.ts';
import type { BackupOrigin, BackupStorage } from '../full-backup/ports.ts';

/** Where a backup lies or is to lie, as somebody says it. */
export interface AskedStorage {
  /** A URL of a container or a bucket (and folders in it), or the path of a folder. Without a token. */
  readonly place: string;
  /** A SAS token. */
  readonly token?: string | undefined;
  /** Whether the service is to go by credentials of its own. */
  readonly useManagedIdentity?: boolean | undefined;
}

/**
 * Who says it: whoever may call the REST API, an operator at the service's machine, or the schedule that one has set. Callers
 * may name other places than operators.
 */
export type AskedBy = BackupOrigin['askedBy'];

/** @throws ServiceError BadParameter, StorageRefused: nothing has been asked of the storage yet */
export type OpenBackupStorage = (asked: AskedStorage, by: AskedBy) => Promise<BackupStorage>;

/** What the settings say of where backups may lie. */
export interface StorageSettings {
  /** Hosts of Azure Blob storage, as `ruleOf` takes them; those of Azure where absent. */
  readonly hosts?: readonly string[];
  readonly s3?: {
    readonly origin: string;
    readonly region: string;
    readonly bucket: string;
    /** Where absent, those that AWS's own clients would find: of the environment, its files, a role. */
    readonly credentials?: S3Credentials;
  };
  /** PEM of certificate authorities that storages' certificates may come from besides the public ones. */
  readonly extraCa?: string;
  /** The SAS token of commands and schedules, which bring none, and the URL of the one container to which it goes. */
  readonly sas?: { readonly container: string; readonly token: string };
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** `backup-check` and `restore-check` do nothing but find out whether the other would be possible. */
export type JobKind = 'backup' | 'backup-check' | 'restore' | 'restore-check' | 'key-restore';

export interface NewJob {
  /** 32 hex digits that nobody guesses. */
  readonly id: string;
  readonly kind: JobKind;
  /** Where the backup lies; undefined for a check that was not told. */
  readonly place: string | undefined;
  readonly folder: string | undefined;
  readonly keyName: string | undefined;
  /** By object id; undefined where an operator does it by a command. */
  readonly principalId: string | undefined;
  readonly askedBy: AskedBy;
}

export interface JobFailure {
  /** A kind of ServiceError, Interrupted, or InternalServerError. */
  readonly code: string;
  /** For whoever asked: without secrets. */
  readonly message: string;
}

export interface RecoveryJob extends NewJob {
  readonly status: 'InProgress' | 'Succeeded' | 'Failed';
  readonly startedAt: Date;
  readonly endedAt: Date | undefined;
  readonly failure: JobFailure | undefined;
}

/** How a job ended: what the backup holds, or why there is none. */
export type JobEnd =
  { readonly keys: number; readonly bytes: number } | { readonly failure: JobFailure };

/** What is known of backups and restores, of all processes. It outlives a full restore. */
export interface JobStore {
  /** From now on it is under way. Jobs that ended long ago are forgotten. */
  begin(job: NewJob, change: AuditedChange): Promise<void>;
  /** From now on the pool serves nothing, until the job ends. @throws ServiceError Conflict where it was given up */
  closePool(id: string, change: AuditedChange): Promise<void>;
  /** Says that its process lives. @returns false where another one has given it up */
  keepAlive(id: string): Promise<boolean>;
  /**
   * The pool serves again.
   * @param change of a failure; none else
   * @returns false where it had ended already, as a full restore does when it takes its place: then nothing is written
   */
  end(id: string, end: JobEnd, change: AuditedChange | undefined): Promise<boolean>;
  find(id: string): Promise<RecoveryJob | undefined>;
  /** Whether there are jobs that have no end. */
  hasUnfinished(): Promise<boolean>;
  /** Jobs without an end have failed with their process. Whoever calls it does so in `exclusively`. */
  endAbandoned(failure: JobFailure, change: AuditedChange): Promise<void>;
}
