import { randomBytes, randomUUID } from 'node:crypto';
import { createArchiveFormat } from '../backup/full-backup/archive-format.ts';
import { nextByCron } from '../backup/schedule/cron-times.ts';
import { AuditDraft } from '../core/audit/draft.ts';
import { createArchiveOpener, summarize } from '../core/recovery/full-backup/archive-opener.ts';
import type { FullBackups } from '../core/recovery/full-backup/ports.ts';
import type { RecoveryJobs } from '../core/recovery/jobs/recovery-jobs.ts';
import { repeat } from '../core/repeating.ts';
import { createBackupScheduler } from '../core/recovery/schedule/backup-scheduler.ts';
import { withLockIfFree } from '../store/pool/pool-store.ts';
import { createScheduleStore } from '../store/recovery/schedule/schedule-store.ts';
import { LIMITS } from './limits.ts';
import type { Base } from './service/base.ts';

/** Makes backups at the planned times: one process of all that serve the pool. */
export function startBackupSchedule(
  { context, pool, hsm, log, clock }: Base,
  jobs: RecoveryJobs,
  backups: FullBackups,
) {
  const opener = createArchiveOpener({ hsm, format: createArchiveFormat() });
  const newChange = (operation: string) =>
    new AuditDraft(() => clock.now(), { requestId: randomUUID(), operation, scope: '/' });
  const scheduler = createBackupScheduler({
    pool,
    store: createScheduleStore(context, pool),
    jobs,
    backups,
    nextByCron,
    ifFree: (work) => withLockIfFree(context.db, `backup schedule ${pool.id}`, work),
    newId: () => randomBytes(16).toString('hex'),
    newChange,

    async identify(storage, folder) {
      const { manifest, secret } = await opener.open({ storage, folder });
      secret.fill(0);
      return summarize(folder, manifest);
    },

    newRemoval({ folder, madeAt }, place) {
      const change = newChange('FullBackupRemoval');
      change.note({ change: { before: { folder, place, ...(madeAt && { madeAt }) } } });
      return change;
    },

    on: {
      made: () => {
        log.info({ operation: 'FullBackup' }, 'a scheduled backup was made, and read back');
      },
      failed: ({ code, message }) => {
        log.error(
          { operation: 'FullBackup', code },
          `a scheduled backup has failed, and is tried again: ${message}`,
        );
      },
      removed: (number) => {
        if (number > 0)
          log.info({ operation: 'FullBackupRemoval', number }, 'outdated backups were removed');
      },
      notRemoved: (error) => {
        log.error(
          { operation: 'FullBackupRemoval', err: error },
          'outdated backups could not be removed: it is tried again after the next one',
        );
      },
    },
  });
  // What a resident pool's keys are in has no full backups.
  const stop =
    pool.keeping === 'resident'
      ? () => Promise.resolve()
      : repeat(
          () => scheduler.look(),
          LIMITS.backupScheduleEveryMs,
          Math.random,
          (error) => {
            log.error(
              { err: error },
              'the schedule of backups was not followed: it is tried again',
            );
          },
        );
  return { scheduler, stop };
}
