import { requireCron } from '../../../backup/schedule/cron-times.ts';
import { OperatorError } from '../../../core/operator-error.ts';
import type { BackupsKept, BackupTimes } from '../../../core/recovery/schedule/ports.ts';
import type { CliContext } from '../../cli-context.ts';
import { inSentences } from '../backup-command.ts';
import { makeFolder, openPlace } from '../place.ts';
import { describeSchedule, scheduleAsJson } from './describe-schedule.ts';
import { newScheduleChange, withSchedule } from './schedule-command.ts';
import { parseTimeSpan } from './time-span.ts';

export interface SetOptions {
  readonly to: string;
  readonly cron?: string;
  readonly timeZone?: string;
  readonly every?: string;
  readonly keep?: string;
  readonly keepFor?: string;
  readonly auditRecords?: true;
  readonly json?: true;
}

const KEEP_LIMIT = 9_000;

/** `strongroom backup schedule set`: the place is tried first. */
export async function setSchedule(context: CliContext, options: SetOptions): Promise<void> {
  const times = readTimes(options);
  const keep = readKept(options);
  await withSchedule(context, async (store, pool) => {
    if (pool.keeping === 'resident')
      throw new OperatorError(
        `The keys of the pool "${pool.name}" (STRONGROOM_POOL) are objects of the HSM and never leave it: back them up by what the HSM itself offers.`,
      );
    await inSentences(context, async () => {
      const schedule = {
        times,
        keep,
        place: await triedPlace(context, options.to),
        withAuditRecords: options.auditRecords === true,
      };
      const before = (await store.readState()).schedule;
      const change = newScheduleChange('BackupScheduleSet');
      change.note({
        change: { ...(before !== undefined && { before: { ...before } }), after: { ...schedule } },
      });
      await store.set(schedule, change);
      const state = await store.readState();
      if (options.json === true) context.print(scheduleAsJson(state));
      else describeSchedule(state).forEach(context.print);
    });
  });
}

/** @returns it as the service asks for it, without a token; a file could be written and removed there */
async function triedPlace(context: CliContext, to: string): Promise<string> {
  await makeFolder(to);
  const storage = await openPlace(context, to);
  try {
    await storage.check();
    return storage.place;
  } finally {
    await storage.close();
  }
}

function readTimes({ cron, timeZone, every }: SetOptions): BackupTimes {
  if ((cron === undefined) === (every === undefined))
    throw new OperatorError('Say when backups are to be made: by one of --cron and --every.');
  if (every !== undefined) {
    if (timeZone !== undefined)
      throw new OperatorError('--time-zone is of --cron, and says nothing of --every.');
    return { everySeconds: parseTimeSpan('--every', every) };
  }
  const times = { cron: cron ?? '', timeZone: timeZone ?? 'UTC' };
  requireCron(times.cron, times.timeZone, new Date());
  return times;
}

function readKept({ keep, keepFor }: SetOptions): BackupsKept {
  const count = keep === undefined ? undefined : Number(keep);
  if (count !== undefined && !(/^\d+$/.test(keep ?? '') && count >= 1 && count <= KEEP_LIMIT))
    throw new OperatorError(
      `"${keep ?? ''}" (--keep) is no number of backups: it has to be from 1 to ${KEEP_LIMIT}.`,
    );
  return {
    ...(count !== undefined && { count }),
    ...(keepFor !== undefined && { seconds: parseTimeSpan('--keep-for', keepFor) }),
  };
}
