import { randomBytes, randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { createStorageOpener } from '../backup/storage/open-storage.ts';
import type { Clock } from '../core/clock.ts';
import type { FullBackups } from '../core/recovery/full-backup/ports.ts';
import { createRecoveryJobs } from '../core/recovery/jobs/recovery-jobs.ts';
import type { StoreContext } from '../store/database.ts';
import type { Pool } from '../store/pool/pool-store.ts';
import { createJobStore } from '../store/recovery/jobs/job-store.ts';
import { createExclusively } from '../store/recovery/recovery-lock.ts';
import { LIMITS } from './limits.ts';
import type { ServiceSettings } from './service/settings.ts';

export interface RecoveryJobOptions {
  readonly context: StoreContext;
  readonly pool: Pick<Pool, 'id' | 'name'>;
  readonly backups: FullBackups;
  readonly settings: Pick<ServiceSettings, 'backupStorage'>;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Backups and restores of a pool, for the service and for commands. */
export function openRecoveryJobs(options: RecoveryJobOptions) {
  const { context, pool, backups, settings, log, clock } = options;
  return createRecoveryJobs({
    store: createJobStore(context, pool),
    exclusively: createExclusively(context),
    backups,
    openStorage: createStorageOpener(settings.backupStorage ?? {}, () => clock.now()),
    clock,
    newId: () => randomBytes(16).toString('hex'),
    newGuid: randomUUID,
    keepAliveMs: LIMITS.jobKeepAliveMs,
    limitsMs: { job: LIMITS.jobMs, silence: LIMITS.storageSilenceMs },
    onFault: (error) => {
      log.error({ err: error }, 'a backup or a restore failed');
    },
  });
}
