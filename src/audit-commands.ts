import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { pino } from 'pino';
import { systemClock } from './compose.ts';
import {
  createTrailVerifier,
  type TrailProblem,
  type VerificationReport,
} from './core/trail-verification.ts';
import { openPool, type OperatorSettings } from './operator.ts';
import { createTrailReader } from './store/checkpoint-store.ts';

export interface CommandSettings extends OperatorSettings {
  readonly print: (line: string) => void;
}

interface VerifyOptions {
  readonly from?: Date;
  readonly to?: Date;
  readonly checkpoint?: string;
}

/** `strongroom audit …`: works on the database and the HSM, whether the service runs or not. */
export function addAuditCommands(
  program: Command,
  run: (action: () => Promise<void>) => Promise<void>,
  settings: () => CommandSettings,
): void {
  const audit = program.command('audit').description('the audit trail');
  audit
    .command('verify')
    .description('check that the trail is what was written; the exit status tells')
    .option('--from <time>', 'begin with the last checkpoint before this RFC 3339 time', toDate)
    .option('--to <time>', 'end with the first checkpoint after this RFC 3339 time', toDate)
    .option('--checkpoint <file>', 'a statement of GET /audit/checkpoints that was kept elsewhere')
    .action((options: VerifyOptions) => run(() => verify(options, settings())));
}

/** As much as a process reads before it says how far it is. */
const RECORDS_AT_ONCE = 100_000;

async function verify(options: VerifyOptions, settings: CommandSettings): Promise<void> {
  const { config, print } = settings;
  const known =
    options.checkpoint === undefined
      ? undefined
      : (await readFile(options.checkpoint, 'utf8')).trim();
  const log = pino({ level: config.logLevel }, pino.destination(2));
  const opened = await openPool(settings, log);
  const { context, pool, statements } = opened;
  try {
    const verifier = createTrailVerifier({
      trail: createTrailReader(context),
      statements,
      poolId: pool.id,
      clock: systemClock,
    });
    let after = options.from === undefined ? 0 : await verifier.startAt(options.from);
    const total = { checkpoints: 0, records: 0, unsigned: 0 };
    for (;;) {
      const report = await verifier.verify({
        after,
        recordLimit: RECORDS_AT_ONCE,
        ...(options.to !== undefined && { to: options.to }),
        ...(known !== undefined && { known }),
      });
      total.checkpoints += report.checkpoints;
      total.records += report.records;
      total.unsigned += report.unsigned;
      if (report.next === undefined) {
        print(describe({ ...report, ...total }));
        if (!report.verified) process.exitCode = 2;
        return;
      }
      after = report.next;
    }
  } finally {
    await opened.close();
  }
}

function describe(report: VerificationReport): string {
  const { checkpoints, records, unsigned, removedBefore, problem } = report;
  const removed =
    removedBefore === undefined
      ? ''
      : `; older than ${removedBefore.toISOString()}: taken away for their age`;
  const seen = `${String(records)} records and ${String(checkpoints)} checkpoints, ${String(unsigned)} records not signed yet${removed}`;
  return problem === undefined
    ? `The trail is what was written: ${seen}.`
    : `The trail is NOT what was written: ${explain(problem)}. Read until then: ${seen}.`;
}

function explain(problem: TrailProblem): string {
  if ('number' in problem) return `${problem.kind}: number ${String(problem.number)}`;
  const { kind, chain, sequence, requestId, time } = problem;
  const upTo = 'upTo' in problem ? ` to ${String(problem.upTo)}` : '';
  const request =
    requestId === undefined ? '' : `, request ${requestId} of ${time?.toISOString() ?? ''}`;
  return `record ${kind}: chain ${chain}, sequence ${String(sequence)}${upTo}${request}`;
}

function toDate(text: string): Date {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw new InvalidArgumentError('it is no RFC 3339 time.');
  return date;
}
