import { sql } from 'kysely';
import { ServiceError } from '../../../core/errors.ts';
import type { JobEnd, JobStore, RecoveryJob } from '../../../core/recovery/jobs/ports.ts';
import { changing, reading, type StoreContext, type Trx } from '../../database.ts';
import { POOL_CHANGED } from '../../pool/pool-store.ts';
import type { RecoveryJobRow } from '../../tables.ts';

/** Of each kind of job. */
const KEPT = { jobs: 1_000, days: 90 };

/** @param pool by whose name jobs are found again */
export function createJobStore(
  context: StoreContext,
  pool: { readonly id: string; readonly name: string },
): JobStore {
  const { poolId } = context;

  return {
    async begin(job, change) {
      await changing(
        context,
        change,
        () => [],
        async (trx) => {
          await forgetOld(trx, pool.name);
          await trx
            .insertInto('recovery_job')
            .values({
              id: job.id,
              pool_id: poolId,
              pool_name: pool.name,
              kind: job.kind,
              status: 'InProgress',
              asked_by: job.askedBy,
              principal_id: job.principalId ?? null,
              place: job.place ?? null,
              folder: job.folder ?? null,
              key_name: job.keyName ?? null,
            })
            .execute();
          return true;
        },
      );
    },

    async closePool(id, change) {
      await changing(
        context,
        change,
        () => [POOL_CHANGED],
        async (trx) => {
          const job = await trx
            .selectFrom('recovery_job')
            .select('id')
            .where('id', '=', id)
            .where('status', '=', 'InProgress')
            .forNoKeyUpdate()
            .executeTakeFirst();
          if (job === undefined)
            throw new ServiceError('Conflict', 'This restore was given up: nothing is restored.');
          await trx
            .updateTable('pool')
            .set({ restoring_since: sql`now()` })
            .where('id', '=', poolId)
            .execute();
          return true;
        },
        'anyhow',
      );
    },

    keepAlive: (id) =>
      reading(context, async (db) => {
        const { numUpdatedRows } = await db
          .updateTable('recovery_job')
          .set({ seen_at: sql`now()` })
          .where('id', '=', id)
          .where('status', '=', 'InProgress')
          .executeTakeFirstOrThrow();
        return numUpdatedRows === 1n;
      }),

    async end(id, end, change) {
      if (change === undefined)
        return reading(context, (db) => db.transaction().execute((trx) => endJob(trx, id, end)));
      const isEnded = await changing(
        context,
        change,
        () => [POOL_CHANGED],
        async (trx) => {
          if (!(await endJob(trx, id, end))) return undefined;
          await serveAgain(trx, poolId);
          return true;
        },
        'anyhow',
      );
      return isEnded === true;
    },

    find: (id) =>
      reading(context, async (db) => {
        const row = await db
          .selectFrom('recovery_job')
          .selectAll()
          .where('id', '=', id)
          .where('pool_name', '=', pool.name)
          .executeTakeFirst();
        return row && toJob(row);
      }),

    hasUnfinished: () =>
      reading(context, async (db) => {
        const { rows } = await sql<{ isThere: boolean }>`
          select exists (select from recovery_job where pool_id = ${poolId} and status = 'InProgress')
            or exists (select from pool where id = ${poolId} and restoring_since is not null)
            as "isThere"`.execute(db);
        return rows[0]?.isThere === true;
      }),

    async endAbandoned(failure, change) {
      await changing(
        context,
        change,
        () => [POOL_CHANGED],
        async (trx) => {
          const { rows } = await sql<{ id: string }>`
            select id from recovery_job where pool_id = ${poolId} and status = 'InProgress'`.execute(
            trx,
          );
          let isEnded = false;
          for (const { id } of rows) isEnded = (await endJob(trx, id, { failure })) || isEnded;
          return (await serveAgain(trx, poolId)) || isEnded ? true : undefined;
        },
        'anyhow',
      );
    },
  };
}

/**
 * A job that is under way ends, once: whoever else ends it at the same moment waits for this transaction, and finds that
 * it has ended.
 * @returns false where it had ended already
 */
export async function endJob(trx: Trx, id: string, end: JobEnd): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable('recovery_job')
    .set({
      ended_at: sql`now()`,
      ...('failure' in end
        ? {
            status: 'Failed',
            error_code: end.failure.code,
            error_message: end.failure.message,
          }
        : { status: 'Succeeded', keys: end.keys, bytes: end.bytes }),
    })
    .where('id', '=', id)
    .where('status', '=', 'InProgress')
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/** @returns whether it was closed */
async function serveAgain(trx: Trx, poolId: string): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable('pool')
    .set({ restoring_since: null })
    .where('id', '=', poolId)
    .where('restoring_since', 'is not', null)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

/**
 * Of each kind of job the newest stay, as long as they are young, and the last that has succeeded; those that say a time which
 * is still to come are no newest ones. Those of the schedule say which folders it may remove, however old they are.
 */
async function forgetOld(trx: Trx, poolName: string): Promise<void> {
  await sql`
    delete from recovery_job where id in (
      select id from (
        select id, started_at, status, asked_by, row_number() over newest as place,
          row_number() over (partition by kind, status order by started_at > now(), started_at desc) as of_its_end
        from recovery_job where pool_name = ${poolName}
        window newest as (partition by kind order by started_at > now(), started_at desc)) known
      where status <> 'InProgress'
        and not (status = 'Succeeded' and (of_its_end = 1 or asked_by = 'schedule'))
        and (place > ${KEPT.jobs} or started_at < now() - make_interval(days => ${KEPT.days})))`.execute(
    trx,
  );
}

function toJob(row: RecoveryJobRow): RecoveryJob {
  return {
    id: row.id,
    kind: row.kind,
    status: row.status,
    askedBy: row.asked_by,
    principalId: row.principal_id ?? undefined,
    place: row.place ?? undefined,
    folder: row.folder ?? undefined,
    keyName: row.key_name ?? undefined,
    startedAt: row.started_at,
    endedAt: row.ended_at ?? undefined,
    failure:
      row.error_code === null
        ? undefined
        : { code: row.error_code, message: row.error_message ?? '' },
  };
}
