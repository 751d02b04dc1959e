import type { OpenPool } from '../../compose/pool.ts';
import { openRecoveryJobs } from '../../compose/recovery-jobs.ts';
import { readBackupStorage } from '../../config/setting-files.ts';
import type { AuditedChange } from '../../core/audit/record.ts';
import { systemClock } from '../../core/clock.ts';
import type { BackupSummary, RecoveryProgress } from '../../core/recovery/full-backup/ports.ts';
import type { StorageSettings } from '../../core/recovery/jobs/ports.ts';
import type { JobRequest } from '../../core/recovery/jobs/recovery-jobs.ts';
import { createLog } from '../../observability/log.ts';
import type { CliContext } from '../cli-context.ts';

/** Jobs of a command, among those of the pool: one is under way at a time, whoever has asked for it. */
export async function asOperator({ readSettings }: CliContext, opened: OpenPool) {
  return operatorJobs(opened, await readBackupStorage(readSettings().config));
}

export function operatorJobs(
  { context, pool, fullBackups: backups }: OpenPool,
  backupStorage: StorageSettings,
) {
  const settings = { backupStorage };
  // What went wrong is said by the command itself.
  const log = createLog('silent');
  const jobs = openRecoveryJobs({ context, pool, backups, settings, log, clock: systemClock });
  return {
    /** @returns the backup, where it could be read to its end @throws what the job has failed by */
    async run(
      request: JobRequest,
      change: AuditedChange,
      onProgress?: (progress: RecoveryProgress) => void,
    ): Promise<BackupSummary | undefined> {
      const { ended } = await jobs.start(request, 'operator', change, onProgress);
      const outcome = await ended;
      if ('error' in outcome) throw outcome.error;
      return outcome.backup;
    },
  };
}
