import type {
  RecordReference,
  RowProblem,
} from '../../core/audit/verification/state-verification.ts';
import type {
  LogProblem,
  VerificationReport,
} from '../../core/audit/verification/verification-report.ts';

/** A verification's result in a sentence. */
export function describeVerification(report: VerificationReport): string {
  const { checkpoints, records, unsigned, adopted, rows, removedBefore, problem } = report;
  const removed =
    removedBefore === undefined
      ? ''
      : `; older than ${removedBefore.toISOString()}: taken away for their age`;
  const found =
    adopted === 0 ? '' : `, ${String(adopted)} signed only by a process that found them`;
  const seen = `${String(records)} records and ${String(checkpoints)} checkpoints, ${String(unsigned)} records not signed yet${found}${removed}; ${String(rows)} rows held against them`;
  if (problem === undefined) return `The audit log is what was written: ${seen}.`;
  const isStore = 'row' in problem || 'name' in problem;
  return `The ${isStore ? 'store' : 'audit log'} is NOT what was written: ${explain(problem)}. Read until then: ${seen}.`;
}

function explain(problem: LogProblem): string {
  if ('number' in problem) return `${problem.kind}: number ${String(problem.number)}`;
  if ('name' in problem)
    return `${problem.kind}, which no version of the service does: ${problem.name}`;
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
