import { type RawBuilder, sql } from 'kysely';
import type { Trx } from '../../database.ts';
import type { ArchivedTable } from './archive-tables.ts';

/** Rows of one statement: what the witnesses' triggers note of it is one text. */
const AT_ONCE = 20_000;

/** Rows of the pool that aren't exactly as they are set aside. */
export async function removeDiffering(
  trx: Trx,
  { name }: ArchivedTable,
  poolId: string,
): Promise<void> {
  await removeRows(
    trx,
    name,
    sql`r.pool_id = ${poolId} and not exists (
      select from staged s where s.source = ${name} and s.row = to_jsonb(r))`,
  );
}

export async function removeAll(trx: Trx, { name }: ArchivedTable, poolId: string): Promise<void> {
  await removeRows(trx, name, sql`r.pool_id = ${poolId}`);
}

async function removeRows(trx: Trx, name: string, which: RawBuilder<unknown>): Promise<void> {
  for (let removed = AT_ONCE; removed === AT_ONCE;) {
    const result = await sql`
      delete from ${sql.table(name)} where ctid = any(array(
        select r.ctid from ${sql.table(name)} r where ${which} limit ${sql.lit(AT_ONCE)}))`.execute(
      trx,
    );
    removed = Number(result.numAffectedRows ?? 0n);
    await forgetNoted(trx);
  }
}

/** Those set aside that aren't there. */
export async function insertMissing(
  trx: Trx,
  table: ArchivedTable,
  poolId: string,
  onConflict = sql``,
): Promise<void> {
  const { name, keys, renumbers } = table;
  const same = keys.map((key) => sql`and r.${sql.ref(key)} = v.${sql.ref(key)}`);
  const kept = (await columnsOf(trx, name)).filter((column) => column !== renumbers);
  const columns = sql.join(kept.map((column) => sql.ref(column)));
  const order = renumbers === undefined ? sql`s.n` : sql`v.${sql.ref(renumbers)}`;
  for (const [from, to] of await rangesOf(trx, name)) {
    await sql`
      insert into ${sql.table(name)} (${columns}) overriding system value
      select ${columns} from (
        select v.* from staged s
        cross join lateral jsonb_populate_record(null::${sql.table(name)}, s.row) v
        where s.source = ${name} and s.n between ${from} and ${to} and not exists (
          select from ${sql.table(name)} r where r.pool_id = ${poolId} ${sql.join(same, sql` `)})
        order by ${order}) missing
      ${onConflict}`.execute(trx);
    await forgetNoted(trx);
  }
}

async function columnsOf(trx: Trx, name: string): Promise<readonly string[]> {
  const { rows } = await sql<{ name: string }>`
    select attname as name from pg_attribute
    where attrelid = ${`public.${name}`}::regclass and attnum > 0 and not attisdropped
    order by attnum`.execute(trx);
  return rows.map((row) => row.name);
}

/** The numbers of a table's rows, in portions. */
async function rangesOf(trx: Trx, name: string): Promise<readonly (readonly [number, number])[]> {
  const { rows } = await sql<{ first: string | null; last: string | null }>`
    select min(n) as first, max(n) as last from staged where source = ${name}`.execute(trx);
  const [{ first, last } = { first: null, last: null }] = rows;
  if (first === null || last === null) return [];
  const ranges: [number, number][] = [];
  for (let from = Number(first); from <= Number(last); from += AT_ONCE)
    ranges.push([from, from + AT_ONCE - 1]);
  return ranges;
}

/**
 * What the tables' triggers note grows with each row, and isn't used here: what is put on record at the end is how the rows
 * differ from what was on record before.
 */
async function forgetNoted(trx: Trx): Promise<void> {
  await sql`select set_config('strongroom.witnessed', '', true)`.execute(trx);
}
