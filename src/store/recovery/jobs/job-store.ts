import { sql } from 'kysely';
import type { JobEnd, JobStore, RecoveryJob } from '../../../core/recovery/jobs/ports.ts';
import { changing, reading, type StoreContext, type Trx } from '../../database.ts';
import { POOL_CHANGED } from '../../pool/activation-store.ts';
import type { RecoveryJobRow } from '../../tables.ts';

/** @param pool by whose name jobs are found again */
export function createJobStore(
  context: StoreContext,
  pool: { readonly id: string; readonly name: string },
): JobStore {
  const { poolId } = context;

  return {
    async begin(job, change) {
      const isFull = job.kind === 'restore';
      await changing(
        context,
        change,
        () => (isFull ? [POOL_CHANGED] : []),
        async (trx) => {
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
          if (isFull)
            await trx
              .updateTable('pool')
              .set({ restoring_since: sql`now()` })
              .where('id', '=', poolId)
              .execute();
          return true;
        },
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
        await reading(context, (db) => db.transaction().execute((trx) => endJob(trx, id, end)));
      else
        await changing(
          context,
          change,
          () => [POOL_CHANGED],
          async (trx) => {
            await endJob(trx, id, end);
            await serveAgain(trx, poolId);
            return true;
          },
        );
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
          await trx
            .updateTable('recovery_job')
            .set({
              status: 'Failed',
              ended_at: sql`now()`,
              error_code: failure.code,
              error_message: failure.message,
            })
            .where('pool_id', '=', poolId)
            .where('status', '=', 'InProgress')
            .execute();
          await serveAgain(trx, poolId);
          return true;
        },
      );
    },
  };
}

async function endJob(trx: Trx, id: string, end: JobEnd): Promise<void> {
  await trx
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
    .execute();
}

async function serveAgain(trx: Trx, poolId: string): Promise<void> {
  await trx
    .updateTable('pool')
    .set({ restoring_since: null })
    .where('id', '=', poolId)
    .where('restoring_since', 'is not', null)
    .execute();
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
