import { randomUUID } from 'node:crypto';
import { AuditDraft } from '../../../core/audit/draft.ts';
import { systemClock } from '../../../core/clock.ts';
import type { ScheduleStore } from '../../../core/recovery/schedule/ports.ts';
import { createLog } from '../../../observability/log.ts';
import type { Pool } from '../../../store/pool/pool-store.ts';
import { createScheduleStore } from '../../../store/recovery/schedule/schedule-store.ts';
import type { CliContext } from '../../cli-context.ts';
import { openPoolOf } from '../../open-pool.ts';

/** Changes the schedule of the settings' pool; what was written to the audit log is signed. */
export async function withSchedule(
  context: CliContext,
  work: (store: ScheduleStore, pool: Pool) => Promise<void>,
): Promise<void> {
  const opened = await openPoolOf(context, createLog(context.readSettings().config.logLevel));
  const { chain } = opened.context;
  try {
    await work(createScheduleStore(opened.context, opened.pool), opened.pool);
    if (chain.grown() > 0) {
      chain.end();
      await opened.signedLog.checkpoints([chain]).sign();
    }
  } finally {
    await opened.close();
  }
}

export function newScheduleChange(operation: string): AuditDraft {
  return new AuditDraft(systemClock.now, { requestId: randomUUID(), operation });
}
