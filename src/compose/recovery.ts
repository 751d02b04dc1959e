import { createBlobThreads } from '../backup/blob-threads.ts';
import { createBackupService } from '../core/recovery/backup-service.ts';
import { createKeyArchive } from '../store/recovery/key-archive.ts';
import type { RootKeyStore } from '../core/recovery/root-keys/ports.ts';
import type { Base } from './service/base.ts';

/** Backups of keys; threads compress and encrypt them. */
export function composeRecovery(
  { pool, context, hsm }: Base,
  rootKeys: Pick<RootKeyStore, 'readState'>,
) {
  const protector = createBlobThreads();
  return {
    app: {
      backups: createBackupService({
        hsm,
        archive: createKeyArchive(context),
        protector,
        poolId: pool.id,
        generations: async () =>
          (await rootKeys.readState()).generations.flatMap(({ number, opensBackups }) =>
            opensBackups ? [number] : [],
          ),
      }),
      rootKeys,
    },
    close: () => protector.close(),
  };
}
