import { type Kysely, sql } from 'kysely';
import type { Tables } from '../tables.ts';

/** A number, and where a standby must have it. */
export interface Mark {
  readonly poolId: string;
  readonly process: string;
  readonly number: number;
}

export interface StandbyMarks {
  /** Of a mark that is written after the call: all that was committed before comes before it on each standby. */
  write(): Promise<Mark>;
  /** Takes this process's row away. */
  remove(): Promise<void>;
}

/** Of processes that have ended without a word. */
const FORGOTTEN_AFTER = '1 day';

/**
 * A process's numbers only grow, and each is written once: where a standby follows another primary than this one, as after a
 * failover that it has not heard of, it never gets to a number that was written here.
 * @param process a GUID of its own
 */
export function createStandbyMarks(
  db: Kysely<Tables>,
  poolId: string,
  process: string,
): StandbyMarks {
  let number = 0;
  let writing: Promise<unknown> = Promise.resolve();
  let next: Promise<Mark> | undefined;

  async function writeOne(): Promise<Mark> {
    number += 1;
    const mark: Mark = { poolId, process, number };
    // Its commit waits for no standby: where it doesn't get there, it isn't found.
    await sql`
      with fast as materialized (select set_config('synchronous_commit', 'local', true)),
      forgotten as (
        delete from standby_mark
        where ${number} = 1 and written_at < now() - ${FORGOTTEN_AFTER}::interval)
      insert into standby_mark (pool_id, process, number)
      select ${poolId}::uuid, ${process}::uuid, ${number}::bigint from fast
      on conflict (pool_id, process) do update
        set number = excluded.number, written_at = excluded.written_at`.execute(db);
    return mark;
  }

  return {
    // One that is being written already may come before what the caller knows of: those who ask meanwhile share the next.
    write() {
      next ??= writing.then(() => {
        next = undefined;
        const mark = writeOne();
        writing = mark.catch(() => undefined);
        return mark;
      });
      return next;
    },
    async remove() {
      if (number > 0)
        await sql`delete from standby_mark where pool_id = ${poolId} and process = ${process}`.execute(
          db,
        );
    },
  };
}

/** Whether the mark has come to where this transaction reads. Both see the same moment where it is repeatable. */
export async function hasCome(
  trx: Kysely<Tables>,
  { poolId, process, number }: Mark,
): Promise<boolean> {
  const row = await trx
    .selectFrom('standby_mark')
    .select('number')
    .where('pool_id', '=', poolId)
    .where('process', '=', process)
    .executeTakeFirst();
  return Number(row?.number ?? 0) >= number;
}
