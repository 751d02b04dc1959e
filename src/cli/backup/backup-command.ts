import { randomUUID } from 'node:crypto';
import type { OpenPool } from '../../compose/pool.ts';
import { AuditDraft } from '../../core/audit/draft.ts';
import { systemClock } from '../../core/clock.ts';
import { ServiceError } from '../../core/errors.ts';
import { OperatorError } from '../../core/operator-error.ts';
import type { BackupStorage, BackupSummary } from '../../core/recovery/full-backup/ports.ts';
import { createLog } from '../../observability/log.ts';
import { createExclusively } from '../../store/recovery/recovery-lock.ts';
import type { CliContext } from '../cli-context.ts';
import { openPoolOf } from '../open-pool.ts';

/** Of a backup that isn't as it was written. */
const ALTERED_STATUS = 2;

export interface PoolWork {
  readonly opened: OpenPool;
  readonly newChange: (operation: string) => AuditDraft;
}

export interface BackupWork extends PoolWork {
  readonly storage: BackupStorage;
}

/**
 * Runs a command on the pool of the settings, while no other backup, restore or ceremony is under way there. What somebody
 * can mend, or has to know of a backup, is one sentence.
 */
export async function withBackups(
  context: CliContext,
  openStorage: () => BackupStorage | Promise<BackupStorage>,
  work: (parts: BackupWork) => Promise<void>,
): Promise<void> {
  await withBackupPool(context, async ({ opened }) => {
    const storage = await openStorage();
    try {
      await createExclusively(opened.context)(() => work({ opened, storage, newChange }));
    } finally {
      await storage.close();
    }
  });
}

/** The same for work that sees to it by itself that it is alone. */
export async function withBackupPool(
  context: CliContext,
  work: (parts: PoolWork) => Promise<void>,
): Promise<void> {
  const { config } = context.readSettings();
  const opened = await openPoolOf(context, createLog(config.logLevel));
  try {
    await inSentences(context, () => work({ opened, newChange }));
    if (opened.context.chain.grown() > 0) {
      opened.context.chain.end();
      await opened.signedLog.checkpoints([opened.context.chain]).sign();
    }
  } finally {
    await opened.close();
  }
}

/** What a service would answer is said in a sentence, with status 2 for a backup that isn't as it was written. */
export async function inSentences(
  { setExitStatus, warn }: CliContext,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    if (error.code !== 'MalformedBackupBlob')
      throw new OperatorError(error.message, { cause: error });
    warn(error.message);
    setExitStatus(ALTERED_STATUS);
  }
}

function newChange(operation: string): AuditDraft {
  return new AuditDraft(systemClock.now, { requestId: randomUUID(), operation });
}

/** A backup in a line, or as JSON. */
export function describeBackup(backup: BackupSummary, asJson: boolean): string {
  if (asJson) return JSON.stringify({ ...backup, madeAt: backup.madeAt.toISOString() }, null, 2);
  const { folder, pool, madeAt, keys, versions, bytes, withAuditRecords } = backup;
  const size = `${(bytes / 1e6).toFixed(1)} MB`;
  const records = withAuditRecords ? ', with the records of the audit log' : '';
  return `${folder}: the pool "${pool}" as of ${madeAt.toISOString()}, ${keys} keys with ${versions} versions, ${size}${records}`;
}
