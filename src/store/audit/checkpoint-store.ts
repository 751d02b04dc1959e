import { sql } from 'kysely';
import type { Checkpoint } from '../../core/audit/checkpoint.ts';
import type { CheckpointStore, AuditLogReader } from '../../core/audit/ports.ts';
import { toLinkedRecord } from './audit-rows.ts';
import { reading, type StoreContext } from '../database.ts';
import type { AuditEventRow } from '../tables.ts';

type CheckpointContext = Pick<StoreContext, 'db' | 'poolId'>;

export function createCheckpointStore(context: CheckpointContext): CheckpointStore {
  const { poolId } = context;
  return {
    findNewest: () =>
      reading(context, async (db) => {
        const newest = await db
          .selectFrom('audit_checkpoint')
          .selectAll()
          .where('pool_id', '=', poolId)
          .orderBy('number', 'desc')
          .limit(1)
          .executeTakeFirst();
        return newest && toCheckpoint(newest);
      }),

    append: ({ number, time, jws: statement }, heads, isRetention) =>
      reading(context, (db) =>
        db.transaction().execute(async (trx) => {
          const { numInsertedOrUpdatedRows: added } = await trx
            .insertInto('audit_checkpoint')
            .values({
              pool_id: poolId,
              number: String(number),
              time,
              statement,
              is_retention: isRetention,
            })
            .onConflict((conflict) => conflict.doNothing())
            .executeTakeFirstOrThrow();
          if (added !== 1n) return false;
          if (heads.length > 0)
            await trx
              .insertInto('audit_checkpoint_head')
              .values(
                heads.map(({ chain, sequence, ends }) => ({
                  pool_id: poolId,
                  chain,
                  number: String(number),
                  sequence: String(sequence),
                  ends,
                })),
              )
              .execute();
          return true;
        }),
      ),

    listUnsigned: ({ unsignedBefore, abandonedBefore }, limit) =>
      reading(context, async (db) => {
        const { rows } = await sql<{
          chain: string;
          sequence: string;
          hash: Buffer;
          isAbandoned: boolean;
        }>`
          select * from (
            select c.chain, c.number, newest.sequence, newest.hash,
              c.begun_at < ${abandonedBefore} and newest.time < ${abandonedBefore} as "isAbandoned",
              exists (
                select from audit_event e where e.chain = c.chain and e.pool_id = c.pool_id
                  and e.sequence = coalesce(covered.sequence, 0) + 1 and e.time < ${unsignedBefore}) as "isUnsigned"
            from audit_chain c
            cross join lateral (
              select e.sequence, e.hash, e.time from audit_event e
              where e.chain = c.chain and e.pool_id = c.pool_id
              order by e.sequence desc limit 1) newest
            left join lateral (
              select h.sequence from audit_checkpoint_head h
              where h.pool_id = c.pool_id and h.chain = c.chain
              order by h.number desc limit 1) covered on true
            where c.pool_id = ${poolId} and not exists (
              select from audit_checkpoint_head h
              where h.pool_id = c.pool_id and h.chain = c.chain and h.ends)) open
          where "isAbandoned" or "isUnsigned"
          order by number limit ${limit}`.execute(db);
        return rows.map(({ chain, sequence, hash, isAbandoned }) => ({
          chain,
          sequence: Number(sequence),
          hash,
          ends: isAbandoned,
        }));
      }),
  };
}

export function createAuditLogReader(context: CheckpointContext): AuditLogReader {
  const { poolId } = context;
  const checkpoints = (db: StoreContext['db']) =>
    db.selectFrom('audit_checkpoint').selectAll().where('pool_id', '=', poolId);
  return {
    listCheckpoints: ({ after, limit }) =>
      reading(context, async (db) => {
        const rows = await checkpoints(db)
          .where('number', '>', String(after))
          .orderBy('number')
          .limit(limit)
          .execute();
        return rows.map(toCheckpoint);
      }),

    listRetentions: () =>
      reading(context, async (db) => {
        const rows = await checkpoints(db)
          .where('is_retention', '=', true)
          .orderBy('number')
          .execute();
        return rows.map(toCheckpoint);
      }),

    lastCheckpointAt: (time) =>
      reading(context, async (db) => {
        const row = await checkpoints(db)
          .where('time', '<=', time)
          .orderBy('number', 'desc')
          .limit(1)
          .executeTakeFirst();
        return row && Number(row.number);
      }),

    lastMention: (chain, number) =>
      reading(context, async (db) => {
        const row = await db
          .selectFrom('audit_checkpoint_head as head')
          .innerJoin('audit_checkpoint as checkpoint', (join) =>
            join
              .onRef('checkpoint.pool_id', '=', 'head.pool_id')
              .onRef('checkpoint.number', '=', 'head.number'),
          )
          .selectAll('checkpoint')
          .where('head.pool_id', '=', poolId)
          .where('head.chain', '=', chain)
          .where('head.number', '<=', String(number))
          .orderBy('head.number', 'desc')
          .limit(1)
          .executeTakeFirst();
        return row && toCheckpoint(row);
      }),

    listChains: () =>
      reading(context, async (db) => {
        // One look into the index for each chain, rather than one at every record.
        const { rows } = await sql<{ chain: string }>`
          with recursive found as (
            (select chain from audit_event order by chain limit 1)
            union all
            select (select chain from audit_event where chain > found.chain order by chain limit 1)
            from found where found.chain is not null)
          select chain from found
          where chain is not null and exists (
            select from audit_event e where e.chain = found.chain and e.pool_id = ${poolId})
          union
          select chain from audit_chain where pool_id = ${poolId}`.execute(db);
        return rows.map(({ chain }) => chain);
      }),

    findBeforeStart: () =>
      reading(context, async (db) => {
        // Where the table has its constraint, Postgres knows without looking; who owns the table can take that away.
        const row = await db
          .selectFrom('audit_event')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where(sql<boolean>`sequence <= 0`)
          .limit(1)
          .executeTakeFirst();
        return row && toLinkedRecord(row);
      }),

    findUpTo: (heads) =>
      reading(context, async (db) => {
        const places = JSON.stringify(heads.map(({ chain, sequence }) => ({ chain, sequence })));
        const { rows } = await sql<AuditEventRow>`
          select e.* from json_to_recordset(${places}) as head (chain uuid, sequence bigint)
          cross join lateral (
            select * from audit_event e
            where e.pool_id = ${poolId} and e.chain = head.chain and e.sequence <= head.sequence
            order by e.sequence limit 1) e
          limit 1`.execute(db);
        return rows[0] && toLinkedRecord(rows[0]);
      }),

    chainEnd: (chain) =>
      reading(context, async (db) => {
        const row = await db
          .selectFrom('audit_event')
          .select('sequence')
          .where('pool_id', '=', poolId)
          .where('chain', '=', chain)
          .orderBy('sequence', 'desc')
          .limit(1)
          .executeTakeFirst();
        return Number(row?.sequence ?? 0);
      }),

    readChain: (chain, { after, upTo, limit }) =>
      reading(context, async (db) => {
        const rows = await db
          .selectFrom('audit_event')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('chain', '=', chain)
          .where('sequence', '>', String(after))
          .where('sequence', '<=', String(upTo))
          .orderBy('sequence')
          .orderBy('time')
          .limit(limit)
          .execute();
        return rows.map(toLinkedRecord);
      }),
  };
}

/** Months ahead for which there is a partition. */
const MONTHS_AHEAD = 3;

/** The next months' partitions, as far as they are missing. */
export async function makeAuditPartitions(context: CheckpointContext): Promise<void> {
  await reading(context, (db) => sql`select make_audit_partitions(${MONTHS_AHEAD})`.execute(db));
}

export function toCheckpoint(row: { number: string; time: Date; statement: string }): Checkpoint {
  return { number: Number(row.number), time: row.time, jws: row.statement };
}
