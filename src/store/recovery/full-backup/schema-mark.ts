import { type Kysely, sql } from 'kysely';
import type { SchemaMark } from '../../../core/recovery/full-backup/archive.ts';
import type { Tables } from '../../tables.ts';

export async function readSchemaMark(db: Kysely<Tables>): Promise<SchemaMark> {
  const { rows } = await sql<SchemaMark>`
    select max(name collate "C") as newest, encode(sha256(convert_to(
      string_agg(name || ' ' || checksum, E'\n' order by name collate "C"), 'UTF8')), 'hex') as digest
    from schema_migration`.execute(db);
  const [mark] = rows;
  if (mark === undefined) throw new TypeError('an aggregate has a row');
  return mark;
}
