import { type Selectable, sql } from 'kysely';
import type { KnownProcess, ReplicaStore } from '../../core/pool/replicas.ts';
import { reading, type StoreContext } from '../database.ts';
import type { ReplicaProcessTable } from '../tables.ts';

/** Who serves the pool. What is lost of it with a crash is said again a moment later. */
export function createReplicaStore(context: Pick<StoreContext, 'db' | 'poolId'>): ReplicaStore {
  const { poolId } = context;
  return {
    report: (process, report) =>
      reading(context, (db) =>
        db.transaction().execute(async (trx) => {
          // A standby needn't be waited for.
          await sql`set local synchronous_commit = off`.execute(trx);
          const said = {
            pool_id: poolId,
            root_generations: [...report.rootGenerations],
            is_ready: report.isReady,
            reason: report.reason ?? null,
            feed_lag_ms: report.feedLagMs ?? null,
            clock_difference_ms: report.clockDifferenceMs ?? null,
            seen_at: sql<Date>`clock_timestamp()`,
          };
          const { seen_at: time } = await trx
            .insertInto('replica_process')
            .values({
              id: process.id,
              replica_id: process.replica.id,
              replica_name: process.replica.name,
              version: process.version,
              schema: process.schema,
              started_at: process.startedAt,
              ...said,
            })
            .onConflict((on) => on.column('id').doUpdateSet(said))
            .returning('seen_at')
            .executeTakeFirstOrThrow();
          return time;
        }),
      ),

    remove: (processId) =>
      reading(context, async (db) => {
        await db.deleteFrom('replica_process').where('id', '=', processId).execute();
      }),

    list: (limit) =>
      reading(context, async (db) => {
        const rows = await db
          .selectFrom('replica_process')
          .selectAll()
          .select(
            sql<number>`least(extract(epoch from clock_timestamp() - seen_at) * 1000, 2000000000)::integer`.as(
              'silent_ms',
            ),
          )
          .where('pool_id', '=', poolId)
          .orderBy('seen_at', 'desc')
          .limit(limit)
          .execute();
        return rows.map(toProcess);
      }),

    forget: (silentMs) =>
      reading(context, async (db) => {
        await db
          .deleteFrom('replica_process')
          .where('seen_at', '<', sql<Date>`now() - make_interval(secs => ${silentMs / 1000})`)
          .execute();
      }),
  };
}

function toProcess(
  row: Selectable<ReplicaProcessTable> & { readonly silent_ms: number },
): KnownProcess {
  return {
    id: row.id,
    replica: { id: row.replica_id, name: row.replica_name },
    version: row.version,
    schema: row.schema,
    startedAt: row.started_at,
    isReady: row.is_ready,
    reason: row.reason ?? undefined,
    rootGenerations: row.root_generations,
    feedLagMs: row.feed_lag_ms ?? undefined,
    clockDifferenceMs: row.clock_difference_ms ?? undefined,
    seenAt: row.seen_at,
    silentMs: row.silent_ms,
  };
}
