import { sql } from 'kysely';
import { digestOf, type RetentionPayload } from '../../core/audit/checkpoint.ts';
import { reading, type StoreContext } from '../database.ts';

type OwnerContext = Pick<StoreContext, 'db' | 'poolId'>;

/** Months of the audit log that have ended, oldest first; names as the schema gives them. */
export interface AuditMonth {
  readonly table: string;
  /** The first moment after it. */
  readonly end: Date;
}

const TABLE = /^audit_event_(\d{4})_(\d\d)$/;

/** Records of times for which there was no month's table when they were written. */
const MONTHLESS = 'audit_event_else';

export async function listAuditMonths(context: OwnerContext): Promise<readonly AuditMonth[]> {
  return reading(context, async (db) => {
    const { rows } = await sql<{ name: string }>`
      select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'audit_event'::regclass order by c.relname`.execute(db);
    return rows.flatMap(({ name }) => {
      const [, year, month] = TABLE.exec(name) ?? [];
      if (year === undefined) return [];
      return [{ table: name, end: new Date(Date.UTC(Number(year), Number(month), 1)) }];
    });
  });
}

/** Whether another pool has records in these months, which this pool's keys can't vouch for. */
export async function isShared(
  { db, poolId }: OwnerContext,
  months: readonly AuditMonth[],
): Promise<boolean> {
  return reading({ db }, async () => {
    for (const { table } of months) {
      const { rows } = await sql`
        select from ${sql.table(table)} where pool_id <> ${poolId} limit 1`.execute(db);
      if (rows.length > 0) return true;
    }
    return false;
  });
}

/** What taking these months away means: how far each chain goes with them, and the checkpoints of that time. */
export async function describeRemoval(
  { db, poolId }: OwnerContext,
  months: readonly AuditMonth[],
  before: Date,
): Promise<RetentionPayload> {
  return reading({ db }, async () => {
    const chains = new Map<string, { sequence: number; hash: Uint8Array }>();
    for (const table of [...months.map((month) => month.table), MONTHLESS]) {
      const { rows } = await sql<{ chain: string; sequence: string; hash: Buffer }>`
        select distinct on (chain) chain, sequence, hash from ${sql.table(table)}
        where pool_id = ${poolId} and time < ${before} order by chain, sequence desc`.execute(db);
      for (const { chain, sequence, hash } of rows)
        if (Number(sequence) > (chains.get(chain)?.sequence ?? 0))
          chains.set(chain, { sequence: Number(sequence), hash });
    }
    const last = await db
      .selectFrom('audit_checkpoint')
      .selectAll()
      .where('pool_id', '=', poolId)
      .where('time', '<', before)
      .orderBy('number', 'desc')
      .limit(1)
      .executeTakeFirst();
    return {
      before,
      chains: [...chains].map(([chain, head]) => ({ chain, ...head })),
      ...(last !== undefined && {
        checkpoints: { number: Number(last.number), digest: digestOf(last.statement) },
      }),
    };
  });
}

/**
 * Takes them away; what it means must have been signed before, and what they witness put on record again. Needs the rights
 * of the tables' owner.
 */
export async function removeAuditMonths(
  { db, poolId }: OwnerContext,
  months: readonly AuditMonth[],
  { before, checkpoints }: RetentionPayload,
): Promise<void> {
  await reading({ db }, () =>
    db.transaction().execute(async (trx) => {
      await sql`set local lock_timeout = '10s'`.execute(trx);
      for (const { table } of months) await sql`drop table ${sql.table(table)}`.execute(trx);
      await sql`
        delete from ${sql.table(MONTHLESS)} where pool_id = ${poolId} and time < ${before}`.execute(
        trx,
      );
      await trx
        .deleteFrom('audit_witness')
        .where('pool_id', '=', poolId)
        .where('time', '<', before)
        .execute();
      if (checkpoints !== undefined)
        await trx
          .deleteFrom('audit_checkpoint')
          .where('pool_id', '=', poolId)
          .where('number', '<=', String(checkpoints.number))
          .where('is_retention', '=', false)
          .execute();
    }),
  );
}
