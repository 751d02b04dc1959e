/** The arithmetic of the bench: nothing here is measured. */

/** What one subject did in one short stretch of time. */
export interface Round {
  /** Requests (of `raw`: operations) a second. */
  readonly perSecond: number;
  /** Microseconds of CPU of the subject's processes for each. */
  readonly cpuUs: number;
}

export interface ServiceRound extends Round {
  /** The same of PostgreSQL's processes, which are not among the service's. */
  readonly postgresCpuUs: number;
}

/** Rounds that took turns: the first of each were next to each other in time, and so on. */
export interface Rounds {
  readonly bare: readonly Round[];
  readonly service: readonly ServiceRound[];
  /** Absent where the operation has no HSM call. */
  readonly raw?: readonly Round[];
}

/** The members of the JSON file, and the columns of the table. Rates are a second. */
export interface Figures {
  readonly service: number;
  readonly bare: number;
  readonly raw: number | null;
  readonly limit: number;
  readonly ratioWall: number;
  readonly cpuUs: number;
  readonly bareCpuUs: number;
  readonly rawCpuUs: number;
  readonly postgresCpuUs: number;
  readonly ratio: number;
  /** Least and most of the ratio in single rounds. */
  readonly ratioSpread: readonly [number, number];
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('there is no median of nothing');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const above = sorted[Math.floor(middle)] ?? 0;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? 0) + above) / 2 : above;
}

/** The value below or at which `part` of the values lie (nearest rank). */
export function quantile(values: readonly number[], part: number): number {
  if (values.length === 0) throw new RangeError('there is no quantile of nothing');
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.ceil(part * sorted.length);
  return sorted[Math.min(sorted.length, Math.max(1, rank)) - 1] ?? 0;
}

/**
 * What one after the other could reach: a request's time is the sum of the time that each part needs. A part that takes
 * no time is `null`.
 */
export function limitOf(bare: number, raw: number | null): number {
  return raw === null ? bare : 1 / (1 / bare + 1 / raw);
}

export function figuresOf({ bare, service, raw }: Rounds): Figures {
  const of = <One extends Round>(rounds: readonly One[], read: (round: One) => number) =>
    median(rounds.map(read));
  const rawRate = raw === undefined ? null : of(raw, ({ perSecond }) => perSecond);
  const rawCpuUs = raw === undefined ? 0 : of(raw, ({ cpuUs }) => cpuUs);
  const serviceRate = of(service, ({ perSecond }) => perSecond);
  const bareRate = of(bare, ({ perSecond }) => perSecond);
  const cpuUs = of(service, (round) => round.cpuUs);
  const bareCpuUs = of(bare, (round) => round.cpuUs);
  const limit = limitOf(bareRate, rawRate);
  const single = service.map(
    (round, turn) => ((bare[turn]?.cpuUs ?? NaN) + (raw?.[turn]?.cpuUs ?? 0)) / round.cpuUs,
  );
  return {
    service: serviceRate,
    bare: bareRate,
    raw: rawRate,
    limit,
    ratioWall: serviceRate / limit,
    cpuUs,
    bareCpuUs,
    rawCpuUs,
    postgresCpuUs: of(service, ({ postgresCpuUs }) => postgresCpuUs),
    ratio: (bareCpuUs + rawCpuUs) / cpuUs,
    ratioSpread: [Math.min(...single), Math.max(...single)],
  };
}

/** What each of a mixture costs by itself, weighted by how often it came. Weights need not sum to one. */
export function weightedMean(
  parts: readonly { readonly weight: number; readonly value: number }[],
): number {
  const total = parts.reduce((sum, { weight }) => sum + weight, 0);
  if (!(total > 0)) throw new RangeError('a mean needs weights');
  return parts.reduce((sum, { weight, value }) => sum + weight * value, 0) / total;
}
