import { Cron } from 'croner';
import { OperatorError } from '../../core/operator-error.ts';
import type { NextByCron } from '../../core/recovery/schedule/ports.ts';

const FIELDS = 5;

/** An hour that clocks leave out or have twice is taken once, as Vixie cron does. */
export const nextByCron: NextByCron = (cron, timeZone, after) =>
  open(cron, timeZone).nextRun(after) ?? undefined;

/** @throws OperatorError for an expression that isn't one, names no time that will come, or for an unknown time zone */
export function requireCron(cron: string, timeZone: string, now: Date): void {
  if (!isTimeZone(timeZone))
    throw new OperatorError(
      `"${timeZone}" (--time-zone) is no time zone: it has to be one as Europe/Zurich or UTC.`,
    );
  let next: Date | undefined;
  try {
    // croner also takes one date, and words such as @daily.
    if (cron.trim().split(/\s+/).length !== FIELDS) throw new Error(`not ${FIELDS} fields`);
    next = nextByCron(cron, timeZone, now);
  } catch (error) {
    throw new OperatorError(
      `"${cron}" (--cron) is no cron expression: it has five fields, for minute, hour, day of the month, month and day of the week, as "30 2 * * *".`,
      { cause: error },
    );
  }
  if (next === undefined)
    throw new OperatorError(`"${cron}" (--cron) names no time that will come.`);
}

function open(cron: string, timeZone: string): Cron {
  return new Cron(cron, { timezone: timeZone, mode: '5-part', paused: true });
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
