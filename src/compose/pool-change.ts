import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { AuditDraft } from '../core/audit/draft.ts';
import { systemClock } from '../core/clock.ts';
import type { StoreContext } from '../store/database.ts';
import { deletePool, recoverPool } from '../store/pool/pool-store.ts';
import { openStore, type StoreSettings } from './store.ts';

/** Deletes the pool of the settings, by whoever may start the service. @returns undefined where it was deleted before */
export async function deleteByOperator(
  settings: StoreSettings,
  log: Logger,
): Promise<Date | undefined> {
  return withPool(settings, log, (context) => deletePool(context, newDraft('PoolDelete')));
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
