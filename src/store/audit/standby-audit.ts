import type { AuditLogReader, AuditReader } from '../../core/audit/ports.ts';
import type { UsageReader } from '../../core/audit/usage.ts';
import type { StoreContext } from '../database.ts';
import { createAuditReader } from './audit-store.ts';
import { createAuditLogReader } from './checkpoint-store.ts';
import type { StandbyReader } from './standby-reader.ts';
import { createUsageReader } from './usage-store.ts';

type Owner = Pick<StoreContext, 'poolId'>;

/** What callers ask of the audit log, of a standby where it can be. */
export function auditOfStandby(standby: StandbyReader, { poolId }: Owner): AuditReader {
  return {
    listEvents: (...given) =>
      standby.read((db) => createAuditReader({ db, poolId }).listEvents(...given)),
  };
}

/** The same of the signed checkpoints. A verification, which goes from one read to the next, stays on the primary. */
export function checkpointsOfStandby(
  standby: StandbyReader,
  { poolId }: Owner,
): Pick<AuditLogReader, 'listCheckpoints'> {
  return {
    listCheckpoints: (...given) =>
      standby.read((db) => createAuditLogReader({ db, poolId }).listCheckpoints(...given)),
  };
}

/** The same of how keys are used. */
export function usageOfStandby(standby: StandbyReader, { poolId }: Owner): UsageReader {
  const reader = (db: StoreContext['db']) => createUsageReader({ db, poolId });
  return {
    listUsage: (...given) => standby.read((db) => reader(db).listUsage(...given)),
    listUnusedKeys: (...given) => standby.read((db) => reader(db).listUnusedKeys(...given)),
    listExpiringKeys: (...given) => standby.read((db) => reader(db).listExpiringKeys(...given)),
  };
}
