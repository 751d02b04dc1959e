import { availableParallelism, cpus } from 'node:os';
import type { CostRow } from './growth-costs.ts';
import type { GrowthRow } from './growth.ts';
import type { MixedFigures } from './mixed.ts';
import type { SingleFigures } from './single-operations.ts';
import type { ThreadFigures } from './threads.ts';
import { processCount } from './process-count.ts';

/** What people read. */

export type Row = Readonly<Record<string, string>>;

/** As Markdown, which terminals show well enough. */
export function printTable(rows: readonly Row[]): void {
  const [first] = rows;
  if (first === undefined) return;
  const columns = Object.keys(first);
  const widths = columns.map((column) =>
    Math.max(column.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells
      .map((cell, index) =>
        index === 0 ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0),
      )
      .join(' | ')} |\n`;
  process.stdout.write(
    [
      line(columns),
      `| ${widths.map((width, index) => (index === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |\n`,
      ...rows.map((row) => line(columns.map((column) => row[column] ?? ''))),
    ].join(''),
  );
}

function whole(value: number | null): string {
  if (value === null) return '-';
  return value >= 100 ? String(Math.round(value)) : value.toPrecision(3);
}

export const ratio = (value: number): string => value.toFixed(2);

const spread = ([least, most]: readonly [number, number]) => `${ratio(least)}-${ratio(most)}`;

export function rowOf(figures: SingleFigures): Row {
  return {
    operation: figures.name,
    'service/s': whole(figures.service),
    'bare/s': whole(figures.bare),
    'raw/s': whole(figures.raw),
    'limit/s': whole(figures.limit),
    ratioWall: ratio(figures.ratioWall),
    cpuUs: whole(figures.cpuUs),
    bareCpuUs: whole(figures.bareCpuUs),
    rawCpuUs: figures.raw === null ? '-' : whole(figures.rawCpuUs),
    postgresCpuUs: whole(figures.postgresCpuUs),
    ratio: ratio(figures.ratio),
    'least-most': spread(figures.ratioSpread),
    p50Ms: figures.p50Ms.toFixed(1),
    p99Ms: figures.p99Ms.toFixed(1),
    'bare p50, p99': `${figures.bareP50Ms.toFixed(1)}, ${figures.bareP99Ms.toFixed(1)}`,
    'Managed HSM/s': comparison(figures),
  };
}

export function threadRowOf({ callUs, service, alone, ...figures }: ThreadFigures): Row {
  return {
    'ms a call': (callUs / 1000).toFixed(0),
    'service/s': whole(service),
    'alone/s': whole(alone),
    ratio: ratio(figures.ratio),
    'least-most': spread(figures.ratioSpread),
  };
}

/** Managed HSM's figure, and whether it is reached, or can't be with this HSM. */
function comparison({ managedHsm, service, raw }: SingleFigures): string {
  if (managedHsm === null) return '-';
  if (service >= managedHsm) return `${managedHsm} met`;
  return raw !== null && raw < managedHsm ? `${managedHsm} (raw is below)` : `${managedHsm} missed`;
}

export function growthRowOf(row: GrowthRow): Row {
  return {
    'A256KW wrap with': row.what,
    'small/s': whole(row.smallPerSecond),
    'grown/s': whole(row.grownPerSecond),
    ratioWall: ratio(row.ratioWall),
    smallCpuUs: whole(row.smallCpuUs),
    grownCpuUs: whole(row.grownCpuUs),
    postgresCpuUs: whole(row.grownPostgresCpuUs),
    ratio: ratio(row.ratio),
    'least-most': spread(row.ratioSpread),
    'small MiB': whole(row.smallMiB),
    'grown MiB': whole(row.grownMiB),
  };
}

export function costRowOf(row: CostRow): Row {
  return {
    'one call, 100,000 keys against 10': row.what,
    smallMs: row.smallMs.toFixed(2),
    grownMs: row.grownMs.toFixed(2),
    ratio: ratio(row.ratio),
  };
}

export function printGrowthLegend(): void {
  process.stdout.write(
    `
${machine()}
Services in turns, small ones (10 keys, one principal) and grown ones. ratio: throughput for the same CPU time of the service's processes, smallCpuUs/grownCpuUs; PostgreSQL's stand apart. MiB: resident memory of the largest process of all.
Zipf: the n-th key comes in proportion to 1/n. The many keys are one AES key under many names, each with a seal of its own that the HSM made. Tokens of many principals are signed in the HSM by the directory's own key, past the token endpoint.
Audit records are planted: rows like the service's own, without valid hashes, and marked as counted for the usage tables.
`,
  );
}

export function printMixed(mixed: MixedFigures): void {
  printTable(
    mixed.parts.map(({ name, percent, cpuUs }) => ({
      operation: name,
      'percent of the mixture': String(percent),
      'cpuUs alone': whole(cpuUs),
    })),
  );
  process.stdout.write(
    `
${machine()}
Mixed: ${whole(mixed.perSecond)} requests a second, ${whole(mixed.cpuUs)} us of CPU each; the same ones by kind, one key and one principal: ${whole(mixed.singleCpuUs)} us.
Ratio: ${ratio(mixed.ratio)} (${spread(mixed.ratioSpread)} in single rounds).
`,
  );
}

function machine(): string {
  return `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${availableParallelism()} cores, Node ${process.versions.node}; ${processCount()} worker processes; the load generator is on the same machine.`;
}

export function printLegend(): void {
  process.stdout.write(
    `
${machine()} bare and raw have as many.
Medians of rounds that take turns. service: HTTPS, keep-alive, token, decision, HSM, durable audit record. bare: the same Express, TLS and JSON, doing nothing. raw: the HSM calls alone.
limit = 1/(1/bare + 1/raw). ratioWall = service/limit. ratio = (bareCpuUs + rawCpuUs)/cpuUs, from microseconds of CPU a request; PostgreSQL's stand apart.
p50Ms and p99Ms at half of the service's most, and the bare server's at the same pace. Managed HSM: one partition, https://learn.microsoft.com/azure/key-vault/managed-hsm/scaling-guidance (December 2025).
`,
  );
}
