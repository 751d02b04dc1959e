import { ServiceError } from '../../errors.ts';
import { nearestDate } from '../key-date.ts';

/** A span of calendar time; weeks are among the days. */
export interface Duration {
  readonly months: number;
  readonly days: number;
}

/**
 * ISO 8601-1 §5.5.2: years, months, weeks and days, then hours, minutes and seconds, each at most once and in this order.
 * Java's `Duration` writes 90 days as `PT2160H`, and other libraries end with `T0S`.
 */
const FORM =
  /^P(?=\d|T\d)(?:(\d{1,4})Y)?(?:(\d{1,5})M)?(?:(\d{1,5})W)?(?:(\d{1,6})D)?(?:T(?=\d)(?:(\d{1,8})H)?(?:(\d{1,9})M)?(?:(\d{1,11})(?:[.,]0{1,9})?S)?)?$/;

const SECONDS_A_DAY = 86_400;

/** @throws ServiceError BadParameter */
export function parseDuration(property: string, text: string): Duration {
  const parts = FORM.exec(text);
  if (parts === null)
    throw wrong(property, 'must be an ISO 8601 duration such as P90D, P18M or P2Y');
  const [years = 0, months = 0, weeks = 0, days = 0, hours = 0, minutes = 0, seconds = 0] = parts
    .slice(1)
    .map((digits: string | undefined) => Number(digits ?? 0));
  const timeDays = (3600 * hours + 60 * minutes + seconds) / SECONDS_A_DAY;
  if (!Number.isInteger(timeDays)) throw wrong(property, 'must be of whole days, such as P90D');
  return { months: 12 * years + months, days: 7 * weeks + days + timeDays };
}

function wrong(property: string, what: string): ServiceError {
  return new ServiceError('BadParameter', `Property ${property} has an invalid value: it ${what}.`);
}

/**
 * The moment a duration after another, or before it. Months come first and keep the day of the month, or take the last
 * one of a shorter month; the calendar is UTC's. What lies outside the dates that keys have is the nearest of those.
 * @param seconds since 1970-01-01 UTC
 * @param sign 1 for after, -1 for before
 */
export function addDuration(seconds: number, { months, days }: Duration, sign: 1 | -1): number {
  const date = new Date(nearestDate(seconds) * 1000);
  const day = date.getUTCDate();
  date.setUTCDate(1);
  date.setUTCMonth(date.getUTCMonth() + sign * months);
  const last = new Date(date);
  last.setUTCMonth(date.getUTCMonth() + 1, 0);
  date.setUTCDate(Math.min(day, last.getUTCDate()));
  return nearestDate(Math.floor(date.getTime() / 1000) + sign * days * SECONDS_A_DAY);
}
