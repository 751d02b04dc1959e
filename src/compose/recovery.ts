import { createBlobThreads } from '../backup/blob-threads.ts';
import { createBackupService } from '../core/recovery/backup-service.ts';
import { createKeyArchive } from '../store/recovery/key-archive.ts';
import type { RootKeyStore } from '../core/recovery/root-keys/ports.ts';
import { createRootKeyStore } from '../store/recovery/root-keys/root-key-store.ts';
import { openBackupKeys } from './root-keys.ts';
import { openSecurityDomain } from './security-domain.ts';
import type { RootKeyWatch } from './service/root-key-watch.ts';
import type { Base } from './service/base.ts';

/** Backups of keys, which threads compress and encrypt, and the security domain. */
export function composeRecovery(
  { pool, context, hsm, log }: Base,
  rootKeys: Pick<RootKeyStore, 'readState'> & Pick<RootKeyWatch, 'lookNow' | 'followed'>,
) {
  const protector = createBlobThreads();
  const store = createRootKeyStore(context);
  return {
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
      securityDomain: openSecurityDomain({
        context,
        pool,
        hsm,
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
    close: () => protector.close(),
  };
}
