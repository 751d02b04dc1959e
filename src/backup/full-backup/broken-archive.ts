import { ServiceError } from '../../core/errors.ts';

/** @param what is wrong, as the end of a sentence */
export function brokenArchive(folder: string, what: string, cause?: unknown): ServiceError {
  return new ServiceError(
    'MalformedBackupBlob',
    `The backup ${folder} is not as it was written, and nothing of it is used: ${what}.`,
    { cause },
  );
}
