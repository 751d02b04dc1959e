import { z } from 'zod';
import { ServiceError } from '../../core/errors.ts';
import type { AskedStorage, RecoveryJob } from '../../core/recovery/jobs/ports.ts';
import { text } from '../values/text.ts';

/** As Azure/azure-rest-api-specs has them, data-plane/BackupRestore. Clients send null for what they leave out. */
const URI_LIMIT = 2048;
const TOKEN_LIMIT = 8192;

const storage = z
  .object({
    storageResourceUri: text(URI_LIMIT),
    token: text(TOKEN_LIMIT).nullish(),
    useManagedIdentity: z.boolean().nullish(),
  })
  .transform(({ storageResourceUri, token, useManagedIdentity }): AskedStorage => ({
    place: storageResourceUri,
    token: token ?? undefined,
    useManagedIdentity: useManagedIdentity ?? undefined,
  }));
/** Clients cut it out of a URL, with a slash at either end or without. */
const folder = text(URI_LIMIT).transform((path) =>
  path
    .split('/')
    .filter((part) => part !== '')
    .join('/'),
);

/** A check may be asked without a storage: then it says whether anything is in the way here. */
const optionalStorage = z.union([
  storage,
  z.object({ storageResourceUri: z.null().optional() }).transform(() => undefined),
]);

export const BackupRequest = storage;
export const PreBackupRequest = optionalStorage;
export const RestoreRequest = z.object({ sasTokenParameters: storage, folderToRestore: folder });
export const PreRestoreRequest = z.object({
  sasTokenParameters: optionalStorage.nullish(),
  folderToRestore: folder.nullish(),
});
export const KeyRestoreRequest = z.object({ sasTokenParameters: storage, folder });

const JOB_ID = /^[0-9a-f]{32}$/;

/** @throws ServiceError BackupNotFound for what is no id of a job */
export function jobOf(raw: Readonly<Record<string, string | undefined>>) {
  const id = raw['jobId'] ?? '';
  if (!JOB_ID.test(id)) throw jobNotFound();
  return { id };
}

export function jobNotFound(): ServiceError {
  return new ServiceError('BackupNotFound', 'There is no such backup or restore.');
}

type BegunJob = Pick<RecoveryJob, 'id' | 'kind' | 'place' | 'folder'> &
  Partial<Pick<RecoveryJob, 'status' | 'startedAt' | 'endedAt' | 'failure'>>;

/** A job as its poller reads it: `error` must be there, and null where there is none. Times are seconds since 1970. */
export function serializeJob(job: BegunJob, startedAt: Date) {
  const { id, kind, place, folder, status = 'InProgress', endedAt, failure } = job;
  const isBackup = kind === 'backup' || kind === 'backup-check';
  return {
    jobId: id,
    status,
    statusDetails: failure?.message ?? DETAILS[status],
    error: failure === undefined ? null : { ...failure, innererror: null },
    startTime: secondsOf(job.startedAt ?? startedAt),
    endTime: endedAt === undefined ? null : secondsOf(endedAt),
    ...(isBackup && {
      azureStorageBlobContainerUri:
        place === undefined || folder === undefined ? (place ?? null) : `${place}/${folder}`,
    }),
  };
}

const DETAILS = {
  InProgress: 'It is under way.',
  Succeeded: 'It has succeeded.',
  Failed: 'It has failed.',
};

function secondsOf(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}
