import { nextByCron } from '../backup/schedule/cron-times.ts';
import { type Finding, ok, warning } from '../core/diagnosis/finding.ts';
import { dueSince, nextPlanned } from '../core/recovery/schedule/planned-times.ts';
import type { BackupState } from '../core/recovery/schedule/ports.ts';
import type { StoreContext } from '../store/database.ts';
import type { Pool } from '../store/pool/pool-store.ts';
import { createScheduleStore } from '../store/recovery/schedule/schedule-store.ts';

const SUBJECT = 'backups';
/** How long a backup may take before it is missed. */
const GRACE_MS = 15 * 60_000;

/** Whether there is a backup as young as the pool's schedule says. */
export async function examineBackups(
  context: StoreContext,
  pool: Pool,
): Promise<readonly Finding[]> {
  if (pool.keeping === 'resident') return [];
  const state = await createScheduleStore(context, pool).readState();
  return [findingOf(state), ...timesAheadOf(state)];
}

/** A clock was ahead, or somebody has written rows that are to put off what is planned. */
export function timesAheadOf({ ahead }: Pick<BackupState, 'ahead'>): readonly Finding[] {
  if (ahead === 0) return [];
  return [
    warning(
      SUBJECT,
      `${ahead} of the rows of backups and of their schedule say a time that is still to come by PostgreSQL's clock, and nothing goes by them: put the clock right if it is wrong, or find out who has written them.`,
    ),
  ];
}

/** What an operator is to know of the pool's backups. */
export function findingOf(state: BackupState): Finding {
  const { schedule, newestAt, lastFailure, failures, now } = state;
  const newest =
    newestAt === undefined ? 'none was made yet' : `the newest is of ${newestAt.toISOString()}`;
  if (schedule === undefined)
    return ok(SUBJECT, `None are planned (\`strongroom backup schedule\`), and ${newest}.`);
  const due = dueSince(state, nextByCron);
  if (due !== undefined && now.getTime() - due.getTime() > GRACE_MS) {
    const why =
      lastFailure === undefined || failures === 0 ? '' : ` The last try: ${lastFailure.message}`;
    return warning(
      SUBJECT,
      `One is due since ${due.toISOString()} in ${schedule.place}, and ${newest}.${why}`,
    );
  }
  const next = nextPlanned(state, nextByCron);
  if (next === undefined)
    return warning(SUBJECT, `The schedule names no time that will come, and ${newest}.`);
  return ok(
    SUBJECT,
    `The next one is due at ${next.toISOString()} in ${schedule.place}, and ${newest}.`,
  );
}
