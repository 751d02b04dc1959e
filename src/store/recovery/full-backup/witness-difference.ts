import { sql } from 'kysely';
import type { AuditChain } from '../../../core/audit/chain.ts';
import type { AuditRecord } from '../../../core/audit/record.ts';
import { stateRecords, withWitnesses } from '../../../core/audit/witness-records.ts';
import type { Witness } from '../../../core/audit/witness.ts';
import { insertAuditRecords } from '../../audit/audit-rows.ts';
import type { Trx } from '../../database.ts';
import { digest, ofPool, rowKey } from '../../witness/row-digest.ts';
import { WITNESSED_TABLES, type WitnessedTable } from '../../witness/witnessed-tables.ts';

/** Rows that the records of one statement witness. */
const PAGE = 1_000;

/**
 * Writes a change's record, and puts on record how the pool's rows differ from what was last on record of them: however
 * many they are, and whatever has been done to them in between.
 * @param chain nobody else's, that is given up where the transaction isn't committed
 */
export async function recordDifference(
  trx: Trx,
  { poolId, chain, record }: { poolId: string; chain: AuditChain; record: AuditRecord },
): Promise<void> {
  await sql`truncate difference`.execute(trx);
  for (const table of WITNESSED_TABLES) await findDifference(trx, table, poolId);
  let after = 0;
  for (let pages = 0; ; pages += 1) {
    const { rows } = await sql<{
      n: string;
      source: string;
      row_key: string;
      revision: string;
      before: string | null;
      after: string | null;
    }>`select * from difference where n > ${after} order by n limit ${sql.lit(PAGE)}`.execute(trx);
    if (rows.length === 0 && pages > 0) return;
    const witnesses = rows.map((row): Witness => ({
      table: row.source,
      row: row.row_key,
      revision: Number(row.revision),
      ...(row.before !== null && { before: row.before }),
      ...(row.after !== null && { after: row.after }),
    }));
    const records =
      pages === 0 ? withWitnesses(record, witnesses) : stateRecords(record, witnesses);
    const lock = await chain.lock();
    await insertAuditRecords(trx, poolId, lock.link(records));
    lock.settle('written');
    after = Number(rows.at(-1)?.n ?? 0);
  }
}

async function findDifference(trx: Trx, table: WitnessedTable, poolId: string): Promise<void> {
  await sql`
    insert into difference (source, row_key, revision, before, after)
    select ${table.name}, row_key, nextval('audit_witness_revision'), before, after
    from (
      select distinct on (row_key) row_key, after as before from audit_witness
      where pool_id = ${poolId} and source = ${table.name}
      order by row_key, revision desc) known
    full join (
      select ${rowKey(table)} collate "C" as row_key, ${digest(table)} as after
      from ${sql.table(table.name)} r where ${ofPool(table, poolId)}) present using (row_key)
    where before is distinct from after`.execute(trx);
}
