import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { AuditDraft } from '../core/audit/draft.ts';
import { systemClock } from '../core/clock.ts';
import { OperatorError } from '../core/operator-error.ts';
import type { StoreContext } from '../store/database.ts';
import { deletePool, listPools, recoverPool } from '../store/pool/pool-store.ts';
import { openStore, type StoreSettings } from './store.ts';

/**
 * Deletes the pool of the settings, by whoever may start the service.
 * @returns undefined where it was deleted before @throws OperatorError where others go by its directory
 */
export async function deleteByOperator(
  settings: StoreSettings,
  log: Logger,
): Promise<Date | undefined> {
  return withPool(settings, log, async (context) => {
    await requireNoFollowers(context);
    return deletePool(context, newDraft('PoolDelete'));
  });
}

/** @returns false where it was not deleted */
export async function recoverByOperator(settings: StoreSettings, log: Logger): Promise<boolean> {
  return withPool(settings, log, (context) => recoverPool(context, newDraft('PoolRecover')));
}

async function withPool<T>(
  settings: StoreSettings,
  log: Logger,
  change: (context: StoreContext) => Promise<T>,
): Promise<T> {
  const opened = await openStore(settings, log);
  try {
    return await change(opened.context);
  } finally {
    await opened.close();
  }
}

function newDraft(operation: string): AuditDraft {
  return new AuditDraft(systemClock.now, { requestId: randomUUID(), operation });
}

async function requireNoFollowers({ db, poolId }: StoreContext): Promise<void> {
  const pools = await listPools(db);
  const own = pools.find(({ id }) => id === poolId);
  const followers = pools.filter(
    ({ id, tenantId, deletedAt }) =>
      own?.isHome === true && id !== poolId && tenantId === own.tenantId && deletedAt === undefined,
  );
  if (followers.length > 0)
    throw new OperatorError(
      `Other pools go by the directory of this one: ${followers.map(({ name }) => name).join(', ')}. Delete these first.`,
    );
}
