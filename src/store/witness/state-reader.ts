import { sql } from 'kysely';
import type { StateReader } from '../../core/audit/ports.ts';
import { UUID } from '../cursors.ts';
import { reading, type StoreContext, type Trx } from '../database.ts';
import { findAddedCode } from './added-code.ts';
import {
  ENTRY_ORDER,
  type EntryRow,
  type JudgedRow,
  judgement,
  toEntry,
  toStateEntry,
  withUpgrade,
} from './entry-rows.ts';
import { digest, ofPool, rowKey } from './row-digest.ts';
import { readSmallTables } from './small-tables.ts';
import { WITNESSED_TABLES, type WitnessedTable } from './witnessed-tables.ts';

const TABLES = new Map(WITNESSED_TABLES.map((table) => [table.name, table]));

/**
 * Reads the index over what records witness, and the rows. Digests are worked out here by built-in functions alone: the
 * functions in the schema are those of whoever owns it.
 */
export function createStateReader(context: Pick<StoreContext, 'db' | 'poolId'>): StateReader {
  const { poolId } = context;

  /** Everything in it is of one moment, and looks the same whatever the session's settings are. */
  const atOneMoment = <T>(read: (trx: Trx) => Promise<T>) =>
    reading(context, (db) =>
      db
        .transaction()
        .setIsolationLevel('repeatable read')
        .execute(async (trx) => {
          await sql`select set_config('timezone', 'UTC', true), set_config('bytea_output', 'hex', true),
            set_config('search_path', 'pg_catalog, public, pg_temp', true)`.execute(trx);
          return read(trx);
        }),
    );

  /** Digests of those of the rows that are there. */
  async function readDigests(
    trx: Trx,
    table: WitnessedTable,
    rows: readonly string[],
  ): Promise<ReadonlyMap<string, string>> {
    const values = rows.flatMap((row) => {
      const parsed = parseRow(table, row);
      return parsed === undefined ? [] : [parsed];
    });
    if (values.length === 0) return new Map();
    const [first] = table.keys;
    const wanted =
      first === undefined
        ? sql``
        : sql`join unnest(${sql.join(
            table.keys.map(
              ([, type], index) =>
                sql`${sql.val(values.map((row) => row[index]))}::${sql.raw(type)}[]`,
            ),
          )}) as k (${sql.join(table.keys.map(([column]) => sql.ref(column)))})
          on ${sql.join(
            table.keys.map(([column]) => sql`r.${sql.ref(column)} = k.${sql.ref(column)}`),
            sql` and `,
          )}`;
    const found = await sql<{ row_key: string; digest: string }>`
      select ${rowKey(table)} as row_key, ${digest(table)} as digest
      from ${sql.table(table.name)} r ${wanted} where ${ofPool(table, poolId)}`.execute(trx);
    return new Map(found.rows.map((row) => [row.row_key, row.digest]));
  }

  return {
    tables: WITNESSED_TABLES.map(({ name }) => name),

    isRow: (name, row) => {
      const table = TABLES.get(name);
      return table !== undefined && parseRow(table, row) !== undefined;
    },

    listIndexed: (chain, { after, upTo, limit }) =>
      reading(context, async (db) => {
        const rows = await db
          .selectFrom('audit_witness')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('chain', '=', chain)
          .where('sequence', '>', String(after))
          .where('sequence', '<=', String(upTo))
          .orderBy('sequence')
          .limit(limit)
          .execute();
        return rows.map(toEntry);
      }),

    listEntries: (name, after, limit) =>
      atOneMoment(async (trx) => {
        const table = tableOf(name);
        const from =
          'chain' in after
            ? sql<boolean>`row_key >= ${after.row} and (row_key, revision) >= (${after.row}, ${after.revision})
                and (row_key, revision, coalesce(found, ''), chain, sequence)
                  > (${after.row}, ${after.revision}, ${after.found ?? ''}, ${after.chain}, ${after.sequence})`
            : sql<boolean>`row_key >= ${after.row}`;
        const { rows } = await sql<JudgedRow>`
          ${withUpgrade(poolId)}
          select w.*, ${judgement()}
          from audit_witness w
          where pool_id = ${poolId} and source = ${name} and ${from}
          order by ${ENTRY_ORDER}
          limit ${limit}`.execute(trx);
        const newest = rows.filter((row) => row.is_newest).map((row) => row.row_key);
        const digests = await readDigests(trx, table, [...new Set(newest)]);
        return rows.map((row) => toStateEntry(row, digests.get(row.row_key)));
      }),

    listRows: (name, after, limit) =>
      atOneMoment(async (trx) => {
        const table = tableOf(name);
        const columns = sql.join(table.keys.map(([column]) => sql`r.${sql.ref(column)}`));
        const last = after === undefined ? undefined : parseRow(table, after);
        const later =
          last === undefined || table.keys.length === 0
            ? sql`true`
            : sql`(${columns}) > (${sql.join(
                table.keys.map(([, type], index) => sql`${last[index]}::${sql.raw(type)}`),
              )})`;
        const { rows } = await sql<{ row: string; isKnown: boolean }>`
          select row, exists (
            select from audit_witness w
            where w.pool_id = ${poolId} and w.source = ${name} and w.row_key = row) as "isKnown"
          from (
            select ${rowKey(table)} as row from ${sql.table(name)} r
            where ${ofPool(table, poolId)} and ${later}
            ${table.keys.length === 0 ? sql`` : sql`order by ${columns}`}
            limit ${limit}) rows`.execute(trx);
        return rows;
      }),

    listSmall: (tables, limit) =>
      tables.length === 0
        ? Promise.resolve(new Map())
        : atOneMoment((trx) => readSmallTables(trx, poolId, tables.map(tableOf), limit)),

    hasBeen: (table, row, state) =>
      reading(context, async (db) => {
        const found = await db
          .selectFrom('audit_witness')
          .select('revision')
          .where('pool_id', '=', poolId)
          .where('source', '=', table)
          .where('row_key', '=', row)
          .where('after', '=', state)
          .limit(1)
          .executeTakeFirst();
        return found !== undefined;
      }),

    findAddedCode: () => atOneMoment(findAddedCode),

    findStray: () =>
      reading(context, async (db) => {
        const { rows } = await sql<EntryRow>`
          select w.* from (
            select chain, max(sequence) as sequence from audit_witness
            where pool_id = ${poolId} group by chain) furthest
          join audit_witness w on w.pool_id = ${poolId} and w.chain = furthest.chain
            and w.sequence = furthest.sequence
          where not exists (
            select from audit_event e where e.pool_id = ${poolId} and e.chain = furthest.chain
              and e.sequence >= furthest.sequence)
          limit 1`.execute(db);
        return rows[0] && toEntry(rows[0]);
      }),
  };
}

function tableOf(name: string): WitnessedTable {
  const table = TABLES.get(name);
  if (table === undefined) throw new TypeError(`no witnessed table ${name}`);
  return table;
}

/** The values of the primary key; undefined for what can't be a row of that table. */
function parseRow({ keys }: WitnessedTable, row: string): readonly (string | number)[] | undefined {
  try {
    const values: unknown = JSON.parse(row);
    const isRow =
      Array.isArray(values) &&
      values.length === keys.length &&
      values.every((value, index) => isOfType(value, keys[index]?.[1]));
    return isRow ? (values as (string | number)[]) : undefined;
  } catch {
    return undefined;
  }
}

function isOfType(value: unknown, type: WitnessedTable['keys'][number][1] | undefined): boolean {
  if (type === 'integer')
    return Number.isInteger(value) && Math.abs(value as number) <= LARGEST_INTEGER;
  return (
    typeof value === 'string' && !value.includes('\0') && (type !== 'uuid' || UUID.test(value))
  );
}

/** Of Postgres's integer. */
const LARGEST_INTEGER = 0x7fff_ffff;
