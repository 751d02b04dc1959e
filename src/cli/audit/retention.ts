import { randomUUID } from 'node:crypto';
import { ConfigError } from '../../config/config.ts';
import { OperatorError } from '../../core/operator-error.ts';
import type { AgreedClock } from '../../core/clock.ts';
import type { OpenPool } from '../../compose/pool.ts';
import {
  describeRemoval,
  isShared,
  listAuditMonths,
  removeAuditMonths,
} from '../../store/audit/audit-retention.ts';
import { witnessAgain } from '../../store/witness/witness-again.ts';

export interface AppliedRetention {
  readonly months: number;
  /** The first moment that stays. */
  readonly before: Date;
}

/**
 * Takes away the months that ended more than `months` whole months before this one. The audit log and the rows that it
 * witnesses are verified first; what only those months witness is put on record again; and a signed statement says how far
 * each chain went with them, so that what stays can be verified for ever.
 * @param storeClock by which the months are counted
 * @returns undefined where there is nothing to take away
 * @throws Error with a sentence for the operator, when nothing was taken away
 */
export async function applyRetention(
  { context, signedLog }: Pick<OpenPool, 'context' | 'signedLog'>,
  months: number,
  storeClock: AgreedClock,
): Promise<AppliedRetention | undefined> {
  const now = await storeClock.agreedTime();
  if (now === undefined)
    throw new OperatorError(
      "This machine's clock and PostgreSQL's differ by minutes, and which months are old enough is a matter of clocks: nothing was taken away. Set the clock that is wrong.",
    );
  const limit = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - months, 1));
  const old = (await listAuditMonths(context)).filter(({ end }) => end <= limit);
  const before = old.at(-1)?.end;
  if (before === undefined) return undefined;
  if (await isShared(context, old))
    throw new ConfigError('Another pool has records in these months: they stay.');

  const report = await signedLog.verifier.verify({ after: 0, recordLimit: Infinity });
  if (!report.verified)
    throw new ConfigError(
      'The audit log is not what was written, and stays as it is: see `strongroom audit verify`.',
    );
  await witnessAgain(context, before, { time: now, requestId: randomUUID() });
  const removal = await describeRemoval(context, old, before);
  await signedLog.checkpoints([context.chain]).sign(removal);
  await removeAuditMonths(context, old, removal);
  return { months: old.length, before };
}
