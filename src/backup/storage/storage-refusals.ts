import { ServiceError } from '../../core/errors.ts';

export const STORAGE_LIMITS = {
  /** Backups, or what else lies beside them. */
  folders: 10_000,
};

/** @throws ServiceError */
export function tooManyFolders(place: string): ServiceError {
  return new ServiceError(
    'StorageRefused',
    `${place} holds more than ${STORAGE_LIMITS.folders} folders: keep backups in a place of their own.`,
  );
}

export function backupNotFound(path: string, place: string, cause?: unknown): ServiceError {
  return new ServiceError('BackupNotFound', `There is no ${path} in ${place}.`, { cause });
}
