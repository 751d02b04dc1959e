import { randomUUID } from 'node:crypto';
import { AuditDraft } from '../core/audit/draft.ts';
import { systemClock } from '../core/clock.ts';
import { settleActivation } from '../store/pool/activation-store.ts';
import type { StoreContext } from '../store/database.ts';

/** Of a pool from before there were security domains: it waits for one where it holds no key yet. */
export async function recordActivation(context: StoreContext): Promise<void> {
  const change = new AuditDraft(systemClock.now, {
    requestId: randomUUID(),
    operation: 'PoolActivation',
  });
  change.note({ change: { after: { activation: 'none' } } });
  await settleActivation(context, change);
}
