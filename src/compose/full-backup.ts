import { randomBytes, randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { createCertificates } from '../attestation/certificates.ts';
import { createArchiveFormat } from '../backup/full-backup/archive-format.ts';
import { createAuditChain } from '../core/audit/chain.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import { newVersionId } from '../core/keys/new-version-id.ts';
import { createCertifiedKeys } from '../core/pool/certified-keys.ts';
import { createFullBackups } from '../core/recovery/full-backup/full-backup-service.ts';
import { endInheritedLog } from '../core/recovery/full-backup/inherited-log.ts';
import type { FullBackupStore } from '../core/recovery/full-backup/pool-store.ts';
import type { FullBackups } from '../core/recovery/full-backup/ports.ts';
import { isRotationUnfinished } from '../core/recovery/root-keys/leftovers.ts';
import { requireStartable } from '../core/recovery/root-keys/takeover.ts';
import { findProvenUpload } from '../core/recovery/security-domain/uploaded-domain.ts';
import type { Pkcs11Hsm } from '../hsm/pkcs11-hsm.ts';
import { changing, type StoreContext } from '../store/database.ts';
import type { Pool } from '../store/pool/pool-store.ts';
import { createFullBackupStore } from '../store/recovery/full-backup/full-backup-store.ts';
import { createKeyArchive } from '../store/recovery/key-archive.ts';
import { createRootKeyStore } from '../store/recovery/root-keys/root-key-store.ts';
import type { ServiceSettings } from './service/settings.ts';
import { createSecurityDomainStore } from '../store/recovery/security-domain/security-domain-store.ts';
import { openSignedLog } from './signed-log.ts';
import { openConnections } from './store.ts';

/** Of a restore, which deletes and inserts a pool. */
const STATEMENT_LIMIT_MS = 600_000;

export interface FullBackupOptions {
  readonly context: StoreContext;
  readonly pool: Pick<Pool, 'id' | 'name'>;
  readonly hsm: Pkcs11Hsm;
  readonly settings: Pick<ServiceSettings, 'databaseUrl'>;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Of the time that the HSM works for a backup, how long others have it for themselves. */
  readonly pauseShare: number;
}

/** A pool's rows as a backup reads and writes them. */
export function openFullBackupStore(
  context: StoreContext,
  settings: FullBackupOptions['settings'],
  log: Logger,
  clock: Clock = systemClock,
): FullBackupStore {
  return createFullBackupStore({
    context,
    newChain: (poolId) => createAuditChain({ poolId, newGuid: randomUUID, clock }),
    connect: () => openConnections(settings, log, 1, { statementLimitMs: STATEMENT_LIMIT_MS }),
  });
}

/** Full backups of a pool, for the service and for commands. */
export function openFullBackups(options: FullBackupOptions): FullBackups {
  const { context, pool, hsm, settings, log, clock = systemClock } = options;
  return createFullBackups({
    hsm,
    pool,
    clock,
    newBytes: randomBytes,
    pauseShare: options.pauseShare,
    findOtherPool: () => findProvenUpload(hsm, createSecurityDomainStore(context)),
    requireStartable: (other) => requireStartable(hsm, other),
    format: createArchiveFormat(),
    keys: createKeyArchive(context),
    store: openFullBackupStore(context, settings, log, clock),
    isRotating: () => isRotationUnfinished(hsm, createRootKeyStore(context)),
    record: async (change) => {
      await changing(
        context,
        change,
        () => [],
        () => Promise.resolve(true),
      );
    },

    endInheritedLog: (inherited, { poolId, madeAt, hasRecords }) => {
      const certifiedKeys = createCertifiedKeys({
        hsm,
        store: {
          ...inherited.certifiedKeys,
          insertCertifiedKey: () =>
            Promise.reject(
              new ServiceError('Conflict', 'The backup has no key that signs its audit log.'),
            ),
        },
        certificates: createCertificates(),
        pool: { id: poolId, name: pool.name },
        newVersionId,
        newGuid: randomUUID,
        // A certificate that has ended since is still the one of that log.
        clock: { now: () => madeAt },
      });
      return endInheritedLog(inherited, hasRecords, { certifiedKeys, poolId, clock });
    },

    onRestored: async (written) => {
      for (const { poolId, chain } of written)
        try {
          chain.end();
          const of = { ...context, poolId, chain };
          await openSignedLog(of, { id: poolId, name: pool.name }, hsm, clock)
            .checkpoints([chain])
            .sign();
        } catch (error) {
          log.warn({ err: error }, 'the record of a restore is not signed: the service does it');
        }
    },
  });
}
