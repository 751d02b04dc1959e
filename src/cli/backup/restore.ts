import { ServiceError } from '../../core/errors.ts';
import { parseKeyName } from '../../core/keys/key.ts';
import { OperatorError } from '../../core/operator-error.ts';
import type { JobRequest } from '../../core/recovery/jobs/recovery-jobs.ts';
import type { CliContext } from '../cli-context.ts';
import { describeBackup, withBackupPool } from './backup-command.ts';
import { asOperator } from './operator-job.ts';
import { placeOf } from './place.ts';
import { createProgressBar } from './progress-bar.ts';

export interface RestoreOptions {
  readonly from: string;
  readonly key?: string;
  readonly replacePool?: true;
  readonly json?: true;
}

/** `strongroom backup restore`: all of the pool, or one key. It is one of the pool's jobs, as what is asked for over REST. */
export async function restoreBackup(
  context: CliContext,
  folder: string,
  options: RestoreOptions,
): Promise<void> {
  const { from, key, replacePool, json } = options;
  if ((key === undefined) === (replacePool === undefined))
    throw new OperatorError(
      'Say what is to be restored: --key with the name of one key that is not there, or --replace-pool for all that the pool holds, which is replaced.',
    );
  const asked = { storage: { place: placeOf(from) }, folder };
  const request: JobRequest =
    key === undefined
      ? { kind: 'restore', ...asked }
      : { kind: 'key-restore', ...asked, keyName: readName(key) };
  await withBackupPool(context, async ({ opened, newChange }) => {
    const bar = createProgressBar({ isShown: json !== true });
    try {
      const jobs = await asOperator(context, opened);
      const change = newChange(key === undefined ? 'FullRestoreStart' : 'SelectiveKeyRestoreStart');
      const backup = await jobs.run(request, change, bar.onProgress);
      bar.end();
      if (backup === undefined) context.print(`${folder} was restored.`);
      else context.print(describeBackup(backup, json === true));
    } finally {
      bar.end();
    }
  });
}

function readName(key: string) {
  try {
    return parseKeyName(key);
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    throw new OperatorError(`"${key}" (--key) is no name of a key.`, { cause: error });
  }
}
