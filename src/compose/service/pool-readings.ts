import type { ObjectKeeper } from '../../core/keys/objects/object-keeper.ts';
import type { Replica } from '../../core/pool/replicas.ts';
import type { OpenAuditLog } from '../../audit/audit-log.ts';
import type { BackupScheduler } from '../../core/recovery/schedule/backup-scheduler.ts';
import type { PoolReadings } from '../../observability/metrics.ts';
import type { Pkcs11Hsm } from '../../hsm/pkcs11-hsm.ts';
import type { ServiceStore } from '../store.ts';

interface ObservedParts {
  readonly module: Pkcs11Hsm;
  readonly store: ServiceStore;
  readonly audit: { readonly auditLog: OpenAuditLog };
  readonly access: { readonly authorizer: { readonly status: PoolReadings['decisions'] } };
  readonly keeper: Pick<ObjectKeeper, 'lastUse'> | undefined;
  readonly rootKeys: {
    readonly rowsLeft: ReadonlyMap<number, number>;
    readonly awaited: readonly string[];
  };
  readonly replicas: { readonly known: readonly Replica[] };
  readonly storeClock: { readonly differenceSeconds: number };
  readonly backupSchedule: Pick<BackupScheduler, 'standing'>;
}

/** What the metrics say of the pool in this process, read when somebody asks. */
export function readPoolReadings(parts: ObservedParts): PoolReadings {
  const { module, store, audit, access, storeClock, rootKeys, replicas, backupSchedule } = parts;
  const { waiting, lost } = audit.auditLog;
  return {
    hsm: { ...module.status, isReady: module.isReady },
    auditLog: {
      waiting,
      lost,
      unsigned: store.chains.auditLog.grown() + store.chains.changes.grown(),
    },
    decisions: access.authorizer.status,
    objects: parts.keeper?.lastUse,
    rowsLeft: rootKeys.rowsLeft,
    replicasAwaited: rootKeys.awaited.length,
    replicas: replicas.known.map(({ status }) => status),
    backups: backupSchedule.standing,
    clockDifferenceSeconds: Math.abs(storeClock.differenceSeconds),
  };
}
