import { sql } from 'kysely';
import type { AuditedChange, AuditRecord } from '../../core/audit/record.ts';
import { stateRecords } from '../../core/audit/witness-records.ts';
import type { Witness } from '../../core/audit/witness.ts';
import { createAuditWriter } from '../audit/audit-store.ts';
import { changing, reading, type StoreContext, type Trx } from '../database.ts';

/** Rows of one commit. */
const BATCH = 1_000;

/**
 * Puts the rows from before there were witnesses on record, as the migration has found them (sql/0070_witness.sql). One
 * process does it, in one chain, and the pool's own row is the last: that is how a verification knows what was there from
 * what somebody has added to the list later. Where it is cut off, all is done again.
 * @returns how many rows; undefined where another process is at it
 */
export async function putRowsOnRecord(
  context: StoreContext,
  newGuid: () => string,
): Promise<number | undefined> {
  if (!(await isAnyPending(context))) return 0;
  return reading(context, (db) =>
    db.connection().execute(async (connection) => {
      const lock = sql`hashtextextended(${`witness ${context.poolId}`}, 0)`;
      const { rows } = await sql<{ isMine: boolean }>`
        select pg_try_advisory_lock(${lock}) as "isMine"`.execute(connection);
      if (rows[0]?.isMine !== true) return undefined;
      try {
        return await putOnRecord(context, newGuid());
      } finally {
        await sql`select pg_advisory_unlock(${lock})`.execute(connection);
      }
    }),
  );
}

async function putOnRecord(context: StoreContext, requestId: string): Promise<number> {
  const writer = createAuditWriter(context);
  let done = 0;
  let after: readonly [string, string] = ['', ''];
  for (;;) {
    const { witnesses, last } = await readPending(context, after);
    if (last === undefined) break;
    await writer.write(stateRecords({ time: new Date(), requestId }, witnesses));
    done += witnesses.length;
    after = last;
  }
  const { witnesses } = await readPending(context);
  const [record] = stateRecords({ time: new Date(), requestId }, witnesses);
  if (record === undefined) return done;
  await changing(
    context,
    recordOf(record),
    () => [],
    async (trx: Trx) => {
      await trx.deleteFrom('audit_witness_pending').where('pool_id', '=', context.poolId).execute();
      return true;
    },
  );
  return done + witnesses.length;
}

/** After a place in the list, without the pool's own row; that row alone where no place is given. */
async function readPending(context: StoreContext, after?: readonly [string, string]) {
  const rows = await reading(context, (db) =>
    db
      .selectFrom('audit_witness_pending')
      .selectAll()
      .where('pool_id', '=', context.poolId)
      .where('source', after === undefined ? '=' : '<>', 'pool')
      .$if(after !== undefined, (query) =>
        query.where(sql<boolean>`(source, row_key) > (${after?.[0]}, ${after?.[1]})`),
      )
      .orderBy('source')
      .orderBy('row_key')
      .limit(BATCH)
      .execute(),
  );
  const last = rows.at(-1);
  return {
    witnesses: rows.map(({ source, row_key, revision, after: state }): Witness => ({
      table: source,
      row: row_key,
      revision: Number(revision),
      after: state,
      found: 'upgrade',
    })),
    last: last && ([last.source, last.row_key] as const),
  };
}

function isAnyPending(context: StoreContext): Promise<boolean> {
  return reading(context, async (db) => {
    const row = await db
      .selectFrom('audit_witness_pending')
      .select('source')
      .where('pool_id', '=', context.poolId)
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  });
}

function recordOf(record: AuditRecord): AuditedChange {
  return {
    principalId: undefined,
    note: () => undefined,
    toRecord: () => record,
    committed: () => undefined,
  };
}
