import { sql } from 'kysely';
import type { SmallTable } from '../../core/audit/ports.ts';
import type { Trx } from '../database.ts';
import { ENTRY_ORDER, type JudgedRow, judgement, toStateEntry, withUpgrade } from './entry-rows.ts';
import { digest, ofPool, rowKey } from './row-digest.ts';
import type { WitnessedTable } from './witnessed-tables.ts';

interface PresentRow {
  readonly source: string;
  readonly row: string;
  readonly digest: string;
  readonly isKnown: boolean;
}

/** Those of the tables that have no more than `limit` entries and no more than `limit` rows, by two statements for all of them. */
export async function readSmallTables(
  trx: Trx,
  poolId: string,
  tables: readonly WitnessedTable[],
  limit: number,
): Promise<ReadonlyMap<string, SmallTable>> {
  const names = tables.map(({ name }) => name);
  const { rows: entries } = await sql<JudgedRow>`
    ${withUpgrade(poolId)}
    select w.*, ${judgement()}
    from unnest(${names}::text[]) with ordinality wanted (name, place) cross join lateral (
      select * from audit_witness where pool_id = ${poolId} and source = wanted.name
      order by ${ENTRY_ORDER} limit ${limit + 1}) w
    order by wanted.place, ${ENTRY_ORDER}`.execute(trx);
  const { rows: present } = await sql<PresentRow>`
    select source, row, digest, exists (
      select from audit_witness w
      where w.pool_id = ${poolId} and w.source = present.source and w.row_key = row) as "isKnown"
    from (${sql.join(
      tables.map(
        (table) => sql`(
          select ${table.name}::text as source, ${rowKey(table)} as row, ${digest(table)} as digest
          from ${sql.table(table.name)} r where ${ofPool(table, poolId)} limit ${limit + 1})`,
      ),
      sql` union all `,
    )}) present`.execute(trx);
  return new Map(
    names.flatMap((name) => {
      const own = entries.filter((entry) => entry.source === name);
      const rows = present.filter((row) => row.source === name);
      if (own.length > limit || rows.length > limit) return [];
      const digests = new Map(rows.map((row) => [row.row, row.digest]));
      const table: SmallTable = {
        entries: own.map((entry) => toStateEntry(entry, digests.get(entry.row_key))),
        rows,
      };
      return [[name, table] as const];
    }),
  );
}
