import { ServiceError } from '../../core/errors.ts';

export const STORAGE_LIMITS = {
  /** Backups, or what else lies beside them. */
  folders: 10_000,
  /** Of one backup, or what else lies in its folder. */
  files: 1_000,
};

/** @throws ServiceError */
export function tooManyFolders(place: string): ServiceError {
  return new ServiceError(
    'StorageRefused',
    `${place} holds more than ${STORAGE_LIMITS.folders} folders: keep backups in a place of their own.`,
  );
}

/** @throws ServiceError */
export function tooManyPages(place: string): ServiceError {
  return new ServiceError('StorageRefused', `${place} gives a list that has no end.`);
}

export function tooManyFiles(folder: string, place: string): ServiceError {
  return new ServiceError(
    'StorageRefused',
    `${folder} in ${place} holds more than ${STORAGE_LIMITS.files} files: it is no backup.`,
  );
}

export function folderTaken(folder: string, place: string, cause?: unknown): ServiceError {
  return new ServiceError('Conflict', `There is a folder ${folder} in ${place} already.`, {
    cause,
  });
}

export function backupNotFound(path: string, place: string, cause?: unknown): ServiceError {
  return new ServiceError('BackupNotFound', `There is no ${path} in ${place}.`, { cause });
}
