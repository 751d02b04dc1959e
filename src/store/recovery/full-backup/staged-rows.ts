import { type Kysely, sql } from 'kysely';
import type { ArchivedRow } from '../../../core/recovery/full-backup/archive.ts';
import type { Tables } from '../../tables.ts';
import { ARCHIVED_TABLES } from './archive-tables.ts';

const KNOWN = new Set(ARCHIVED_TABLES.map(({ name }) => name));

/**
 * Rows that are set aside in tables of the connection alone: nobody else sees them, they lock nothing, and they are gone
 * with it. `difference` is for the witnesses.
 */
export async function createStagedTables(on: Kysely<Tables>): Promise<void> {
  await sql`
    create temporary table staged (
      n bigint generated always as identity primary key, source text not null, row jsonb not null)`.execute(
    on,
  );
  await sql`create index on staged (source, n)`.execute(on);
  await sql`
    create temporary table difference (
      n bigint generated always as identity primary key, source text, row_key text,
      revision bigint, before text, after text)`.execute(on);
}

/** @throws TypeError for a row of a table that no backup has */
export async function addStagedRows(
  on: Kysely<Tables>,
  rows: readonly ArchivedRow[],
): Promise<void> {
  if (rows.length === 0) return;
  const unknown = rows.find(({ table }) => !KNOWN.has(table));
  if (unknown !== undefined) throw new TypeError('no backup has rows of such a table');
  // What the rows are stays as it is written: in JavaScript's numbers some would be others.
  const text = `[${rows.map(({ table, json }) => `{"source":"${table}","row":${json}}`).join(',')}]`;
  await sql`
    insert into staged (source, row)
    select source, row from json_to_recordset(${text}) as given (source text, row jsonb)`.execute(
    on,
  );
}
