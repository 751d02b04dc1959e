import { type Kysely, sql } from 'kysely';
import type {
  BackupSchedule,
  BackupState,
  BackupTimes,
  ScheduleStore,
} from '../../../core/recovery/schedule/ports.ts';
import { withoutUndefined } from '../../../core/without-undefined.ts';
import { changing, reading, type StoreContext } from '../../database.ts';
import type { Tables } from '../../tables.ts';

/** By how much a clock may have been put back, and what was done in that time still counts. */
const CLOCK_GRACE_SECONDS = 10;

interface StateRow {
  now: Date;
  place: string | null;
  cron: string | null;
  time_zone: string | null;
  every_seconds: number | null;
  keep_count: number | null;
  keep_seconds: number | null;
  with_audit_records: boolean | null;
  set_at: Date | null;
  newest_at: Date | null;
  newest_scheduled_at: Date | null;
  failed_at: Date | null;
  error_code: string | null;
  error_message: string | null;
  failures: number;
  ahead: number;
}

/** When backups are made by themselves, and those that were. @param pool by whose name jobs are found again */
export function createScheduleStore(
  context: StoreContext,
  pool: { readonly id: string; readonly name: string },
): ScheduleStore {
  const { poolId } = context;
  const nothing = () => [];

  return {
    readState: () => reading(context, (db) => readState(db, poolId, pool.name)),

    async set({ times, place, keep, withAuditRecords }, change) {
      const columns = {
        place,
        cron: null,
        time_zone: null,
        every_seconds: null,
        ...columnsOf(times),
        keep_count: keep.count ?? null,
        keep_seconds: keep.seconds ?? null,
        with_audit_records: withAuditRecords,
      };
      await changing(context, change, nothing, async (trx) => {
        await trx
          .insertInto('backup_schedule')
          .values({ pool_id: poolId, kind: 'full', ...columns })
          .onConflict((conflict) =>
            conflict.columns(['pool_id', 'kind']).doUpdateSet({ ...columns, set_at: sql`now()` }),
          )
          .execute();
        return true;
      });
    },

    async remove(change) {
      const removed = await changing(context, change, nothing, async (trx) => {
        const { numDeletedRows } = await trx
          .deleteFrom('backup_schedule')
          .where('pool_id', '=', poolId)
          .executeTakeFirstOrThrow();
        return numDeletedRows > 0n ? true : undefined;
      });
      return removed === true;
    },

    async recordFailure(id, place, failure, change) {
      await changing(context, change, nothing, async (trx) => {
        await trx
          .insertInto('recovery_job')
          .values({
            id,
            pool_id: poolId,
            pool_name: pool.name,
            kind: 'backup',
            status: 'Failed',
            asked_by: 'schedule',
            place,
            ended_at: sql`now()`,
            error_code: failure.code,
            error_message: failure.message,
          })
          .execute();
        return true;
      });
    },

    listMade: (place, folders) =>
      reading(context, async (db) => {
        const { rows } = await sql<{
          id: string;
          folder: string;
          started_at: Date;
          ended_at: Date;
        }>`
          select id, folder, started_at, ended_at from recovery_job
          where pool_name = ${pool.name} and pool_id = ${poolId} and kind = 'backup'
            and asked_by = 'schedule' and status = 'Succeeded' and place = ${place}
            and folder = any(${[...folders]}::text[])
          order by started_at desc`.execute(db);
        return rows.map(({ id, folder, started_at, ended_at }) => ({
          job: id,
          folder,
          startedAt: started_at,
          endedAt: ended_at,
        }));
      }),

    listBroken: (place, folders) =>
      reading(context, async (db) => {
        const { rows } = await sql<{ folder: string }>`
          select distinct folder from recovery_job
          where pool_name = ${pool.name} and pool_id = ${poolId} and kind = 'backup'
            and asked_by = 'schedule' and status = 'Failed' and place = ${place}
            and folder = any(${[...folders]}::text[])`.execute(db);
        return rows.map(({ folder }) => folder);
      }),

    async record(change) {
      await changing(context, change, nothing, () => Promise.resolve(true));
    },
  };
}

function columnsOf(times: BackupTimes) {
  return 'cron' in times
    ? { cron: times.cron, time_zone: times.timeZone }
    : { every_seconds: times.everySeconds };
}

async function readState(db: Kysely<Tables>, poolId: string, name: string): Promise<BackupState> {
  const { rows } = await sql<StateRow>`
    with clock as (
      select clock_timestamp() as now,
        clock_timestamp() + make_interval(secs => ${CLOCK_GRACE_SECONDS}) as latest
    ), job as (
      select recovery_job.*, greatest(started_at, ended_at) > latest as is_ahead
      from recovery_job, clock where pool_name = ${name} and kind = 'backup'
    ), backup as (
      select * from job where not is_ahead
    ), schedule as (
      select backup_schedule.*, set_at > latest as is_ahead
      from backup_schedule, clock where pool_id = ${poolId}
    ), made as (
      select max(started_at) as newest_at,
        max(started_at) filter (where asked_by = 'schedule') as newest_scheduled_at
      from backup where status = 'Succeeded'
    )
    select clock.now, s.*, made.*, failed.*,
      (select count(*) from job where is_ahead)::integer
        + (select count(*) from schedule where is_ahead)::integer as ahead,
      (select count(*)::integer from backup
       where asked_by = 'schedule' and status = 'Failed'
         and started_at > greatest(s.set_at, made.newest_scheduled_at)) as failures
    from clock cross join made
    left join (
      select place, cron, time_zone, every_seconds, keep_count, keep_seconds, with_audit_records,
        case when is_ahead then 'epoch' else set_at end as set_at
      from schedule) s on true
    left join lateral (
      select ended_at as failed_at, error_code, error_message from backup
      where asked_by = 'schedule' and status = 'Failed' order by started_at desc limit 1) failed on true`.execute(
    db,
  );
  const [row] = rows;
  if (row === undefined) throw new Error('a statement that gives one row gave none');
  return {
    now: row.now,
    schedule: scheduleOf(row),
    newestAt: row.newest_at ?? undefined,
    newestScheduledAt: row.newest_scheduled_at ?? undefined,
    lastFailure:
      row.failed_at === null
        ? undefined
        : {
            at: row.failed_at,
            code: row.error_code ?? '',
            message: row.error_message ?? '',
          },
    failures: row.failures,
    ahead: row.ahead,
  };
}

function scheduleOf(row: StateRow): BackupState['schedule'] {
  const { place, set_at: setAt, cron, time_zone: timeZone, every_seconds: everySeconds } = row;
  if (place === null || setAt === null) return undefined;
  const times: BackupTimes =
    cron === null ? { everySeconds: everySeconds ?? 0 } : { cron, timeZone: timeZone ?? 'UTC' };
  const keep: BackupSchedule['keep'] = withoutUndefined({
    count: row.keep_count ?? undefined,
    seconds: row.keep_seconds ?? undefined,
  });
  return { times, place, keep, withAuditRecords: row.with_audit_records === true, setAt };
}
