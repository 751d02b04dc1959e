import { sql } from 'kysely';
import { ServiceError } from '../../../core/errors.ts';
import { notify, type Trx } from '../../database.ts';
import { ARCHIVED_TABLES, type ArchivedTable } from './archive-tables.ts';
import { insertMissing, removeDiffering } from './row-replacement.ts';

/** Before others' changes of the pool end. */
const LOCK_LIMIT = '10s';

const REPLACED = ARCHIVED_TABLES.filter(({ onRestore }) => onRestore === 'replaced');

/**
 * Nobody changes the pool meanwhile: who has written to one of these tables is waited for, and who writes there later sees
 * at its end that the pool has been restored (`changing` in src/store/database.ts). And everything looks the same whatever the session's settings are. */
export async function beginReplacement(trx: Trx, poolId: string): Promise<void> {
  await sql`select set_config('timezone', 'UTC', true), set_config('bytea_output', 'hex', true),
    set_config('lock_timeout', ${LOCK_LIMIT}, true)`.execute(trx);
  // What Postgres knows of the tables' sizes is of before: by plans for few rows, many would take as long as their square.
  await sql`select set_config('enable_nestloop', 'off', true), set_config('enable_seqscan', 'off', true)`.execute(
    trx,
  );
  const tables = REPLACED.map(({ name }) => sql.table(name));
  await sql`lock table ${sql.join(tables)} in share row exclusive mode`.execute(trx);
  const { rows } = await sql`
    select from audit_witness_pending where pool_id = ${poolId} limit 1`.execute(trx);
  if (rows.length > 0)
    throw new ServiceError(
      'Conflict',
      'The rows of this pool from before an upgrade are not on record yet: start the service once, and restore then.',
    );
}

/** Whatever is witnessed later is later than all that is there, and so are versions of keys. */
export async function endReplacement(trx: Trx): Promise<void> {
  await sql`select raise_sequences()`.execute(trx);
}

/** Every process of the pool hears that nothing is as it was. */
export async function notifyRestored(trx: Trx, poolId: string): Promise<void> {
  await notify(trx, poolId, [{ topic: 'restored', id: poolId }]);
}

/** The pool's rows become those that are set aside. */
export async function replaceOwnRows(trx: Trx, poolId: string): Promise<void> {
  for (const table of REPLACED.toReversed()) await removeDiffering(trx, table, poolId);
  for (const table of ARCHIVED_TABLES) await put(trx, table, poolId);
  await sql`
    update pool set purge_protection = true where id = ${poolId} and not purge_protection
      and exists (select from staged where source = 'pool' and (row ->> 'purge_protection')::boolean)`.execute(
    trx,
  );
}

async function put(trx: Trx, table: ArchivedTable, poolId: string): Promise<void> {
  switch (table.onRestore) {
    case 'replaced':
      return insertMissing(trx, table, poolId);
    case 'added':
      return insertMissing(trx, table, poolId, sql`on conflict do nothing`);
    case 'raised':
      return raiseCounts(trx);
    case 'kept':
  }
}

/** AES-GCM encryptions: of each version the larger number. */
export async function raiseCounts(trx: Trx): Promise<void> {
  await sql`
    insert into gcm_use (pool_id, version, reserved)
    select v.pool_id, v.version, v.reserved
    from staged s cross join lateral jsonb_populate_record(null::gcm_use, s.row) v
    where s.source = 'gcm_use'
    on conflict (pool_id, version) do update
      set reserved = greatest(gcm_use.reserved, excluded.reserved)`.execute(trx);
}
