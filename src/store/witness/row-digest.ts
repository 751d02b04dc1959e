import { type RawBuilder, sql } from 'kysely';
import type { WitnessedTable } from './witnessed-tables.ts';

export function ofPool({ keys }: WitnessedTable, poolId: string): RawBuilder<boolean> {
  return keys.length === 0 ? sql`r.id = ${poolId}` : sql`r.pool_id = ${poolId}`;
}

/** The values of its primary key but for the pool, as a JSON array. */
export function rowKey({ keys }: WitnessedTable): RawBuilder<string> {
  return sql`jsonb_build_array(${sql.join(keys.map(([column]) => sql`r.${sql.ref(column)}`))})::text`;
}

/**
 * As witness_state in sql/0070_witness.sql has it. The same for every session only where its time zone is UTC and its bytes
 * are hexadecimal.
 */
export function digest({ skipped }: WitnessedTable): RawBuilder<string> {
  return sql`translate(rtrim(encode(sha256(convert_to((
    select jsonb_object_agg(key, value)::text from jsonb_each(to_jsonb(r) - ${Object.keys(skipped)}::text[])
    where value <> 'null'), 'UTF8')), 'base64'), '='), '+/', '-_')`;
}
