import type { BackupSchedule, BackupState, NextByCron } from './ports.ts';

/** Between tries of a backup that has failed: each wait is twice as long as the one before. */
const RETRY_MS = { first: 60_000, most: 3_600_000 };

/** @returns when the next backup is due, in the past where one is; undefined where there is no schedule or no such time */
export function nextPlanned(
  { schedule, newestScheduledAt }: Pick<BackupState, 'schedule' | 'newestScheduledAt'>,
  nextByCron: NextByCron,
): Date | undefined {
  if (schedule === undefined) return undefined;
  const { times, setAt } = schedule;
  const made = newestScheduledAt === undefined ? 0 : newestScheduledAt.getTime();
  const from = setAt.getTime();
  if ('cron' in times)
    return nextByCron(times.cron, times.timeZone, new Date(Math.max(from, made)));
  if (made < from) return setAt;
  const everyMs = times.everySeconds * 1000;
  return new Date(from + (Math.floor((made - from) / everyMs) + 1) * everyMs);
}

/** Since when a backup should be there that isn't. However many times were missed, one backup makes up for them. */
export function dueSince(state: BackupState, nextByCron: NextByCron): Date | undefined {
  const planned = nextPlanned(state, nextByCron);
  return planned !== undefined && planned <= state.now ? planned : undefined;
}

/** The schedule where it is time for a backup: one is due, and no earlier try has failed just now. */
export function scheduleToRun(
  state: BackupState,
  nextByCron: NextByCron,
): BackupSchedule | undefined {
  if (dueSince(state, nextByCron) === undefined) return undefined;
  const { lastFailure, failures, now } = state;
  if (lastFailure === undefined || failures === 0) return state.schedule;
  const wait = Math.min(RETRY_MS.first * 2 ** (failures - 1), RETRY_MS.most);
  return now.getTime() - lastFailure.at.getTime() >= wait ? state.schedule : undefined;
}
