import { type Kysely, sql } from 'kysely';
import { ServiceError } from '../../../core/errors.ts';
import type { ArchivedRow } from '../../../core/recovery/full-backup/archive.ts';
import type { PoolSnapshot } from '../../../core/recovery/full-backup/pool-store.ts';
import { fromPostgres } from '../../errors.ts';
import type { Tables } from '../../tables.ts';
import { ARCHIVED_TABLES, type ArchivedTable } from './archive-tables.ts';
import { holdConnection } from './held-connection.ts';
import { readSchemaMark } from './schema-mark.ts';

/** Rows of one look. */
const PAGE = 500;

/**
 * A snapshot of the pool on a connection that is held as long as it is read, which may be long: it locks no row, and the
 * HSM is asked meanwhile.
 */
export async function openSnapshot(db: Kysely<Tables>, poolId: string): Promise<PoolSnapshot> {
  const { on, end } = await holdConnection(db);
  try {
    await sql`begin isolation level repeatable read read only`.execute(on);
    await sql`select set_config('idle_in_transaction_session_timeout', '0', true),
      set_config('timezone', 'UTC', true), set_config('bytea_output', 'hex', true)`.execute(on);
    return { ...(await readSnapshot(on, poolId)), close: end };
  } catch (error) {
    await end();
    throw fromPostgres(error);
  }
}

async function readSnapshot(
  db: Kysely<Tables>,
  poolId: string,
): Promise<Omit<PoolSnapshot, 'close'>> {
  const { rows } = await sql<{ name: string; takenAt: Date; keys: number }>`
    select p.name, now() as "takenAt",
      (select count(*)::integer from key where pool_id = p.id) as keys
    from pool p where p.id = ${poolId}`.execute(db);
  const [pool] = rows;
  if (pool === undefined) throw new ServiceError('PoolNotFound', 'The pool is not there any more.');
  return {
    pool: { id: poolId, name: pool.name },
    schema: await readSchemaMark(db),
    takenAt: pool.takenAt,
    keys: pool.keys,
    async *rows({ withAuditRecords }) {
      for (const table of ARCHIVED_TABLES)
        if (withAuditRecords || table.name !== 'audit_event') yield* readTable(db, table, poolId);
    },
  };
}

async function* readTable(
  db: Kysely<Tables>,
  table: ArchivedTable,
  poolId: string,
): AsyncGenerator<ArchivedRow> {
  const owner = sql.ref(table.name === 'pool' ? 'r.id' : 'r.pool_id');
  const order = [owner, ...table.keys.map((key) => sql.ref(`r.${key}`))];
  try {
    await sql`
      declare archived no scroll cursor for
      select ${jsonOf(table)} as json from ${sql.table(table.name)} r
      where ${owner} = ${sql.lit(poolId)} order by ${sql.join(order)}`.execute(db);
    for (let count = PAGE; count === PAGE;) {
      const { rows } = await sql<{ json: string }>`
        fetch ${sql.lit(PAGE)} from archived`.execute(db);
      count = rows.length;
      for (const { json } of rows) yield { table: table.name, json };
    }
    await sql`close archived`.execute(db);
  } catch (error) {
    throw fromPostgres(error);
  }
}

function jsonOf({ name, omits = [] }: ArchivedTable) {
  if (name === 'audit_chain')
    // How far it goes, for those who don't get its records.
    return sql`(to_jsonb(r) || coalesce((
      select jsonb_build_object('head_sequence', e.sequence, 'head_hash', e.hash)
      from audit_event e where e.pool_id = r.pool_id and e.chain = r.chain
      order by e.sequence desc limit 1), '{}'))::text`;
  return omits.length === 0
    ? sql`to_json(r)::text`
    : sql`(to_jsonb(r) - ${sql.lit(`{${omits.join(',')}}`)}::text[])::text`;
}
