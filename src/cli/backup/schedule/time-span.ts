import { OperatorError } from '../../../core/operator-error.ts';

const SECONDS: Readonly<Record<string, number>> = {
  m: 60,
  h: 3_600,
  d: 86_400,
  w: 7 * 86_400,
};
const MOST = 10 * 366 * 86_400;

/**
 * Seconds of `90m`, `6h`, `30d` or `2w`.
 * @throws OperatorError that names the option, for another form, none, or more than ten years
 */
export function parseTimeSpan(option: string, text: string): number {
  const [, number = '', unit = ''] = /^(\d{1,6})([mhdw])$/.exec(text) ?? [];
  const seconds = Number(number) * (SECONDS[unit] ?? 0);
  if (seconds > 0 && seconds <= MOST) return seconds;
  throw new OperatorError(
    `"${text}" (${option}) is no time: it has to be a number of minutes, hours, days or weeks, as 90m, 6h, 30d or 2w.`,
  );
}

/** The same the other way round, in the largest unit that fits. */
export function formatTimeSpan(seconds: number): string {
  const [unit = 'm', size = 60] =
    Object.entries(SECONDS)
      .reverse()
      .find(([, one]) => seconds % one === 0) ?? [];
  return `${seconds / size}${unit}`;
}
