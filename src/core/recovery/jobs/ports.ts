import type { BackupStorage } from '../full-backup/ports.ts';

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
 * Who says it: whoever may call the REST API, the pool's own schedule, or an operator at the service's machine. They may
 * name different places.
 */
export type AskedBy = 'caller' | 'schedule' | 'operator';

/** @throws ServiceError BadParameter, StorageRefused: nothing has been asked of the storage yet */
export type OpenBackupStorage = (asked: AskedStorage, by: AskedBy) => Promise<BackupStorage>;

/** What the settings say of where backups may lie. */
export interface StorageSettings {
  /** Hosts of Azure Blob storage, as `ruleOf` takes them; those of Azure where absent. */
  readonly hosts?: readonly string[];
  /** The one folder where a schedule may keep backups; none where absent. */
  readonly folder?: string;
  readonly s3?: {
    readonly origin: string;
    readonly region: string;
    readonly bucket: string;
    readonly credentials: S3Credentials;
  };
  /** PEM of certificate authorities that storages' certificates may come from besides the public ones. */
  readonly extraCa?: string;
  /** The SAS token of schedules and commands, which bring none. */
  readonly sasToken?: string;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}
