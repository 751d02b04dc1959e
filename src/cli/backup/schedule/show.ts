import { createLog } from '../../../observability/log.ts';
import { createScheduleStore } from '../../../store/recovery/schedule/schedule-store.ts';
import type { CliContext } from '../../cli-context.ts';
import { openStoreOf } from '../../open-pool.ts';
import { describeSchedule, scheduleAsJson } from './describe-schedule.ts';

export interface ShowOptions {
  readonly json?: true;
}

/** `strongroom backup schedule show` */
export async function showSchedule(context: CliContext, { json }: ShowOptions): Promise<void> {
  const opened = await openStoreOf(context, createLog(context.readSettings().config.logLevel));
  try {
    const state = await createScheduleStore(opened.context, opened.pool).readState();
    if (json === true) context.print(scheduleAsJson(state));
    else describeSchedule(state).forEach(context.print);
  } finally {
    await opened.close();
  }
}
