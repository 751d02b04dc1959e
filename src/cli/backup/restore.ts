import { ServiceError } from '../../core/errors.ts';
import { parseKeyName } from '../../core/keys/key.ts';
import { OperatorError } from '../../core/operator-error.ts';
import type { CliContext } from '../cli-context.ts';
import { describeBackup, withBackups } from './backup-command.ts';
import { openPlace } from './place.ts';
import { createProgressBar } from './progress-bar.ts';

export interface RestoreOptions {
  readonly from: string;
  readonly key?: string;
  readonly replacePool?: true;
  readonly json?: true;
}

/** `strongroom backup restore`: all of the pool, or one key. */
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
  await withBackups(
    context,
    () => openPlace(context, from),
    async ({ opened, storage, newChange }) => {
      const bar = createProgressBar({ isShown: json !== true });
      const { onProgress } = bar;
      const { fullBackups } = opened;
      try {
        const backup =
          key === undefined
            ? await fullBackups.restore(storage, folder, { onProgress }, newChange('FullRestore'))
            : await fullBackups.restoreKey(
                storage,
                folder,
                readName(key),
                { onProgress },
                newChange('SelectiveKeyRestore'),
              );
        bar.end();
        context.print(describeBackup(backup, json === true));
      } finally {
        bar.end();
      }
    },
  );
}

function readName(key: string) {
  try {
    return parseKeyName(key);
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    throw new OperatorError(`"${key}" (--key) is no name of a key.`, { cause: error });
  }
}
