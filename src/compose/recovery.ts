import { createBlobThreads } from '../backup/blob-threads.ts';
import { createBackupService } from '../core/recovery/backup-service.ts';
import { createKeyArchive } from '../store/recovery/key-archive.ts';
import type { RootKeyStore } from '../core/recovery/root-keys/ports.ts';
import { createRootKeyStore } from '../store/recovery/root-keys/root-key-store.ts';
import { openBackupKeys } from './root-keys.ts';
import { repeat } from '../core/repeating.ts';
import { startBackupSchedule } from './backup-schedule.ts';
import { createClearCeremonyApart } from './ceremony/clear-ceremony-apart.ts';
import { openFullBackups } from './full-backup.ts';
import { LIMITS } from './limits.ts';
import { openRecoveryJobs } from './recovery-jobs.ts';
import { openSecurityDomain } from './security-domain.ts';
import type { RootKeyWatch } from './service/root-key-watch.ts';
import type { Base } from './service/base.ts';

/** Backups of keys, which threads compress and encrypt, and of the pool; restores; and the security domain. */
export function composeRecovery(
  base: Base,
  rootKeys: Pick<RootKeyStore, 'readState'> & Pick<RootKeyWatch, 'lookNow' | 'followed'>,
) {
  const { pool, context, hsm, settings, log, clock } = base;
  const protector = createBlobThreads();
  const store = createRootKeyStore(context);
  const backups = openFullBackups({ context, pool, hsm, settings, log, clock, pauseShare: 1 });
  const recoveryJobs = openRecoveryJobs({ context, pool, backups, settings, log, clock });
  const schedule = startBackupSchedule(base, recoveryJobs, backups);
  const stopLooking = repeat(
    () => recoveryJobs.look(),
    LIMITS.jobsEveryMs,
    Math.random,
    (error) => {
      log.error({ err: error }, 'what a backup or a restore has left was not looked for');
    },
  );
  return {
    backupSchedule: schedule.scheduler,
    app: {
      backups: createBackupService({
        hsm,
        archive: createKeyArchive(context),
        protector,
        poolId: pool.id,
        generations: () => store.listOpeningBackups(),
        refreshPairs: () => openBackupKeys(context, hsm),
      }),
      rootKeys,
      recoveryJobs,
      fullBackups: { withAuditRecords: settings.backupAuditRecords === true },
      securityDomain: openSecurityDomain({
        context,
        pool,
        hsm,
        clear: createClearCeremonyApart({ pkcs11: settings.pkcs11, poolId: pool.id, hsm }),
        own: settings.replica,
        on: {
          onNewRootKeys: () => {
            rootKeys.lookNow();
          },
          onUploaded: () => rootKeys.followed(),
          onFault: (error) => {
            log.error({ err: error }, 'the root keys of a new security domain are not in use yet');
          },
        },
      }),
    },
    /** What is under way is ended first. */
    async close() {
      await stopLooking();
      // Nothing is planned any more; a scheduled backup that is under way ends with its job.
      const planned = schedule.stop();
      await recoveryJobs.close(LIMITS.jobEndMs);
      await planned;
      await protector.close();
    },
  };
}
