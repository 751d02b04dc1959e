import { nextByCron } from '../../../backup/schedule/cron-times.ts';
import { nextPlanned } from '../../../core/recovery/schedule/planned-times.ts';
import type {
  BackupSchedule,
  BackupState,
  BackupTimes,
} from '../../../core/recovery/schedule/ports.ts';
import { formatTimeSpan } from './time-span.ts';

/** What is planned and what was made, for people. */
export function describeSchedule(state: BackupState): readonly string[] {
  const { schedule, newestAt, lastFailure, ahead } = state;
  const next = nextPlanned(state, nextByCron);
  return [
    schedule === undefined ? 'No backups are planned.' : planOf(schedule),
    newestAt === undefined
      ? 'No backup was made yet.'
      : `The newest one is of ${newestAt.toISOString()}.`,
    ...(next === undefined
      ? []
      : [
          next <= state.now
            ? `One is due since ${next.toISOString()}.`
            : `The next one is due at ${next.toISOString()}.`,
        ]),
    ...(lastFailure === undefined
      ? []
      : [
          `A try failed at ${lastFailure.at.toISOString()} (${lastFailure.code}): ${lastFailure.message}`,
        ]),
    ...(ahead === 0
      ? []
      : [`${ahead} rows say a time that is still to come, and nothing goes by them.`]),
  ];
}

/** The same for programs. */
export function scheduleAsJson(state: BackupState): string {
  const { schedule, newestAt, lastFailure, failures, ahead } = state;
  return JSON.stringify(
    {
      schedule:
        schedule === undefined
          ? null
          : {
              place: schedule.place,
              ...timesAsJson(schedule.times),
              keep: schedule.keep.count ?? null,
              keepFor: spanOrNull(schedule.keep.seconds),
              auditRecords: schedule.withAuditRecords,
              setAt: schedule.setAt,
            },
      nextBackup: nextPlanned(state, nextByCron) ?? null,
      newestBackup: newestAt ?? null,
      failures,
      lastFailure: lastFailure ?? null,
      ahead,
    },
    null,
    2,
  );
}

function planOf({ times, place, keep, withAuditRecords }: BackupSchedule): string {
  const when =
    'cron' in times
      ? `at "${times.cron}" (${times.timeZone})`
      : `every ${formatTimeSpan(times.everySeconds)}`;
  const records = withAuditRecords ? ', with the records of the audit log' : '';
  return `Backups are made ${when} in ${place}${records}. ${keptOf(keep)}`;
}

function keptOf({ count, seconds }: BackupSchedule['keep']): string {
  const kept = [
    ...(count === undefined ? [] : [count === 1 ? 'the newest one' : `the newest ${count}`]),
    ...(seconds === undefined ? [] : [`those of the last ${formatTimeSpan(seconds)}`]),
  ];
  return kept.length === 0 ? 'All are kept.' : `Kept are ${kept.join(' and ')}.`;
}

function timesAsJson(times: BackupTimes) {
  return 'cron' in times
    ? { cron: times.cron, timeZone: times.timeZone, every: null }
    : { cron: null, timeZone: null, every: formatTimeSpan(times.everySeconds) };
}

function spanOrNull(seconds: number | undefined): string | null {
  return seconds === undefined ? null : formatTimeSpan(seconds);
}
