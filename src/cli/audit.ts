import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { exportLog } from '../audit/export.ts';
import { createRecordFormats } from '../audit/record-formats.ts';
import { type RecordFormats } from '../core/audit/record.ts';
import { systemClock } from '../core/clock.ts';
import { createClockWatch } from '../core/pool/clock-watch.ts';
import {
  type RecordReference,
  type RowProblem,
} from '../core/audit/verification/state-verification.ts';
import {
  type LogProblem,
  type VerificationReport,
} from '../core/audit/verification/log-verification.ts';
import { applyRetention } from './audit-retention.ts';
import { createLog } from '../observability/log.ts';
import { openPoolOf, openStoreOf, type OperatorSettings } from './cli-context.ts';
import { createAuditReader } from '../store/audit/audit-store.ts';
import { readStoreTime } from '../store/pool/store-time.ts';

export interface CommandSettings extends OperatorSettings {
  readonly print: (line: string) => void;
}

interface VerifyOptions {
  readonly from?: Date;
  readonly to?: Date;
  readonly checkpoint?: string;
}

interface ExportOptions {
  readonly directory: string;
  readonly from?: Date;
  readonly to?: Date;
  readonly format: keyof RecordFormats;
}

/** `strongroom audit …`: works on the database and the HSM, whether the service runs or not. */
export function addAuditCommands(
  program: Command,
  run: (action: () => Promise<void>) => Promise<void>,
  settings: () => CommandSettings,
): void {
  const audit = program.command('audit').description('the audit log');
  audit
    .command('verify')
    .description('check that the audit log is what was written; the exit status tells')
    .option('--from <time>', 'begin with the last checkpoint before this RFC 3339 time', toDate)
    .option('--to <time>', 'end with the first checkpoint after this RFC 3339 time', toDate)
    .option('--checkpoint <file>', 'a statement of GET /audit/checkpoints that was kept elsewhere')
    .action((options: VerifyOptions) => run(() => verify(options, settings())));
  audit
    .command('retain')
    .description(
      'take away months that ended long ago, as the owner of the tables; a signed statement stays in their place',
    )
    .requiredOption('--months <number>', 'how many whole months before this one stay', toMonths)
    .action((options: RetainOptions) => run(() => retain(options, settings())));
  audit
    .command('export')
    .description('write the records to files, one for each day (UTC), one record a line')
    .requiredOption('--directory <path>', 'where to; files of the same name are replaced')
    .option('--from <time>', 'begin at this RFC 3339 time', toDate)
    .option('--to <time>', 'end before this RFC 3339 time', toDate)
    .addOption(
      new Option('--format <format>', "the form of Managed HSM's diagnostic logs, or our own")
        .choices(['strongroom', 'azure'])
        .default('strongroom'),
    )
    .action((options: ExportOptions) => run(() => exportRecords(options, settings())));
}

async function exportRecords(options: ExportOptions, settings: CommandSettings): Promise<void> {
  const { config, print } = settings;
  const store = await openStoreOf(settings, createLog(config.logLevel));
  const { context, pool } = store;
  try {
    const present = createRecordFormats({ name: pool.name, domain: config.domain })[options.format];
    const { from, to } = options;
    const written = await exportLog(
      createAuditReader(context),
      { ...(from !== undefined && { from }), ...(to !== undefined && { to }) },
      options.directory,
      present,
    );
    print(`${String(written.records)} records in ${String(written.files)} files.`);
  } finally {
    await store.close();
  }
}

interface RetainOptions {
  readonly months: number;
}

/** Whole months only: they are partitions, so that nothing is ever deleted row by row. */
async function retain({ months }: RetainOptions, settings: CommandSettings): Promise<void> {
  const { config, print } = settings;
  const log = createLog(config.logLevel);
  const opened = await openPoolOf(settings, log, 'owner');
  try {
    const storeClock = createClockWatch({
      readStoreTime: () => readStoreTime(opened.context),
      clock: systemClock,
      onChange: () => undefined,
    });
    const result = await applyRetention(opened, months, storeClock);
    print(
      result === undefined
        ? 'There is no month of that age.'
        : `${String(result.months)} months taken away: the audit log begins at ${result.before.toISOString()} now.`,
    );
  } finally {
    await opened.close();
  }
}

/** As much as a process reads before it says how far it is. */
const RECORDS_AT_ONCE = 100_000;

async function verify(options: VerifyOptions, settings: CommandSettings): Promise<void> {
  const { config, print } = settings;
  const known =
    options.checkpoint === undefined
      ? undefined
      : (await readFile(options.checkpoint, 'utf8')).trim();
  const opened = await openPoolOf(settings, createLog(config.logLevel));
  const { verifier } = opened.signedLog;
  try {
    let after = options.from === undefined ? 0 : await verifier.startAt(options.from);
    let afterRow: string | undefined;
    const total = { checkpoints: 0, records: 0, unsigned: 0, adopted: 0, rows: 0 };
    for (;;) {
      const report = await verifier.verify({
        after,
        recordLimit: RECORDS_AT_ONCE,
        ...(options.to !== undefined && { to: options.to }),
        ...(known !== undefined && { known }),
        ...(afterRow !== undefined && { afterRow }),
      });
      total.checkpoints += report.checkpoints;
      total.records += report.records;
      total.unsigned += report.unsigned;
      total.adopted += report.adopted;
      total.rows += report.rows;
      if (report.next === undefined) {
        print(describe({ ...report, ...total }));
        if (!report.verified) process.exitCode = 2;
        return;
      }
      after = report.next;
      afterRow = report.nextRow;
    }
  } finally {
    await opened.close();
  }
}

function describe(report: VerificationReport): string {
  const { checkpoints, records, unsigned, adopted, rows, removedBefore, problem } = report;
  const removed =
    removedBefore === undefined
      ? ''
      : `; older than ${removedBefore.toISOString()}: taken away for their age`;
  const found =
    adopted === 0 ? '' : `, ${String(adopted)} signed only by a process that found them`;
  const seen = `${String(records)} records and ${String(checkpoints)} checkpoints, ${String(unsigned)} records not signed yet${found}${removed}; ${String(rows)} rows held against them`;
  if (problem === undefined) return `The audit log is what was written: ${seen}.`;
  const isRow = 'row' in problem;
  return `The ${isRow ? 'store' : 'audit log'} is NOT what was written: ${explain(problem)}. Read until then: ${seen}.`;
}

function explain(problem: LogProblem): string {
  if ('number' in problem) return `${problem.kind}: number ${String(problem.number)}`;
  if ('row' in problem) return explainRow(problem);
  const { kind, chain, sequence, requestId, time } = problem;
  const upTo = 'upTo' in problem ? ` to ${String(problem.upTo)}` : '';
  const request =
    requestId === undefined ? '' : `, request ${requestId} of ${time?.toISOString() ?? ''}`;
  return `record ${kind}: chain ${chain}, sequence ${String(sequence)}${upTo}${request}`;
}

function explainRow({ kind, table, row, record, seenBy }: RowProblem): string {
  const says =
    record === undefined ? '; no record speaks of it' : `; what it should be: ${name(record)}`;
  const seen = seenBy === undefined ? '' : `; a later change found it so: ${name(seenBy)}`;
  return `${kind}: ${table} ${row}${says}${seen}`;
}

function name({ chain, sequence, operation, requestId, time }: RecordReference): string {
  const request =
    requestId === undefined
      ? ''
      : `, ${operation ?? ''}, request ${requestId} of ${time?.toISOString() ?? ''}`;
  return `chain ${chain}, sequence ${String(sequence)}${request}`;
}

function toDate(text: string): Date {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw new InvalidArgumentError('it is no RFC 3339 time.');
  return date;
}

function toMonths(text: string): number {
  const months = Number(text);
  if (!Number.isInteger(months) || months < 1 || months > 1200)
    throw new InvalidArgumentError('it is no number from 1 to 1200.');
  return months;
}
