import { availableParallelism, cpus } from 'node:os';
import { type SingleFigures } from './single-operations.ts';
import { processCount } from './stage.ts';

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

export function whole(value: number | null): string {
  if (value === null) return '-';
  return value >= 100 ? String(Math.round(value)) : value.toPrecision(3);
}

export const ratio = (value: number): string => value.toFixed(2);

export function rowOf(figures: SingleFigures): Row {
  const [least, most] = figures.ratioSpread;
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
    'least-most': `${ratio(least)}-${ratio(most)}`,
    p50Ms: figures.p50Ms.toFixed(1),
    p99Ms: figures.p99Ms.toFixed(1),
    'Managed HSM/s': comparison(figures),
  };
}

/** Managed HSM's figure, and whether it is reached, or can't be with this HSM. */
function comparison({ managedHsm, service, raw }: SingleFigures): string {
  if (managedHsm === null) return '-';
  if (service >= managedHsm) return `${managedHsm} met`;
  return raw !== null && raw < managedHsm ? `${managedHsm} (raw is below)` : `${managedHsm} missed`;
}

export function printLegend(): void {
  process.stdout.write(
    `
${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${availableParallelism()} cores, Node ${process.versions.node}; ${processCount()} processes each of service, bare and raw; the load generator is on the same machine.
Medians of rounds that take turns. service: HTTPS, keep-alive, token, decision, HSM, durable audit record. bare: the same Express, TLS and JSON, doing nothing. raw: the HSM calls alone.
limit = 1/(1/bare + 1/raw). ratioWall = service/limit. ratio = (bareCpuUs + rawCpuUs)/cpuUs, from microseconds of CPU a request; PostgreSQL's stand apart.
p50Ms and p99Ms at half of the service's most. Managed HSM: one partition, https://learn.microsoft.com/azure/key-vault/managed-hsm/scaling-guidance (December 2025).
`,
  );
}
