import { systemClock } from '../../core/clock.ts';
import { createClockWatch } from '../../core/pool/clock-watch.ts';
import { createLog } from '../../observability/log.ts';
import { readStoreTime } from '../../store/pool/store-time.ts';
import type { CliContext } from '../cli-context.ts';
import { openPoolOf } from '../open-pool.ts';
import { applyRetention } from './retention.ts';

/** `strongroom audit retain`: whole months only, which are partitions, so that nothing is ever deleted row by row. */
export async function retainMonths(context: CliContext, months: number): Promise<void> {
  const { config } = context.readSettings();
  const opened = await openPoolOf(context, createLog(config.logLevel), 'owner');
  try {
    const storeClock = createClockWatch({
      readStoreTime: () => readStoreTime(opened.context),
      clock: systemClock,
      onChange: () => undefined,
    });
    const result = await applyRetention(opened, months, storeClock);
    context.print(
      result === undefined
        ? 'There is no month of that age.'
        : `${String(result.months)} months taken away: the audit log begins at ${result.before.toISOString()} now.`,
    );
  } finally {
    await opened.close();
  }
}
