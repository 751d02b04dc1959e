import { OperatorError } from '../../core/operator-error.ts';
import type { CliContext } from '../cli-context.ts';
import { describeBackup, withBackupPool } from './backup-command.ts';
import { asOperator } from './operator-job.ts';
import { makeFolder, placeOf } from './place.ts';
import { createProgressBar } from './progress-bar.ts';

export interface CreateOptions {
  readonly to: string;
  readonly auditRecords?: true;
  readonly json?: true;
}

/** `strongroom backup create`. It is one of the pool's jobs, so that whoever asks when the newest was made hears of it. */
export async function createBackup(context: CliContext, options: CreateOptions): Promise<void> {
  const { to, auditRecords, json } = options;
  await withBackupPool(context, async ({ opened, newChange }) => {
    await makeFolder(to);
    const bar = createProgressBar({ isShown: json !== true });
    try {
      const jobs = await asOperator(context, opened);
      const backup = await jobs.run(
        {
          kind: 'backup',
          storage: { place: placeOf(to) },
          withAuditRecords: auditRecords === true,
        },
        newChange('FullBackupStart'),
        bar.onProgress,
      );
      bar.end();
      if (backup === undefined) throw new OperatorError('The backup was broken off.');
      context.print(describeBackup(backup, json === true));
    } finally {
      bar.end();
    }
  });
}
