import { type RawBuilder, sql } from 'kysely';
import type { StateEntry, WitnessEntry } from '../../core/audit/ports.ts';

/** A row of the index over what records witness. */
export interface EntryRow {
  source: string;
  row_key: string;
  revision: string;
  before: string | null;
  after: string | null;
  found: 'upgrade' | 'retention' | null;
  chain: string;
  sequence: string;
  time: Date;
}

/** The same, with what judgement() says of it. */
export interface JudgedRow extends EntryRow {
  is_newest: boolean;
  is_first: boolean;
  is_on_record: boolean;
}

/** Of one table: in the order of rows, and of each in the order of its states. */
export const ENTRY_ORDER = sql`row_key, revision, coalesce(found, ''), chain, sequence`;

/**
 * For the beginning of a statement that asks for judgement(). There is one upgrade, and nothing of the pool is on record
 * before it: what looks like a second one was forged.
 */
export function withUpgrade(poolId: string): RawBuilder<unknown> {
  return sql`with own as materialized (
      select * from audit_witness
      where pool_id = ${poolId} and source = 'pool' and row_key = '[]'
    ), upgrade as materialized (
      select case when count(*) = 1 then (array_agg(chain))[1] end as chain from own u
      where found = 'upgrade' and not exists (
        select from own o where o.found is null and o.revision < u.revision
          or o.found = 'retention' and o.time < u.time))`;
}

/** Columns of what it takes to judge a row by the entry `w`. */
export function judgement(): RawBuilder<unknown> {
  return sql`${onRecord()} as is_on_record, not exists (
      select from audit_witness n where n.pool_id = w.pool_id and n.source = w.source
        and n.row_key = w.row_key and n.revision > w.revision) as is_newest,
    found = 'upgrade' and exists (
      select from audit_witness n where n.pool_id = w.pool_id and n.source = w.source
        and n.row_key = w.row_key and n.revision = w.revision and n.after = w.after
        and n.found = 'upgrade' and n.chain = (select chain from upgrade)) is true as is_first`;
}

/** Whether the record of the entry's place, where there can be one, has the entry among what it witnesses. */
function onRecord(): RawBuilder<boolean> {
  return sql`w.sequence > 0 and exists (
    select from audit_event e cross join lateral jsonb_array_elements(
      case jsonb_typeof(e.witnessed) when 'array' then e.witnessed end) said
    where e.pool_id = w.pool_id and e.chain = w.chain and e.sequence = w.sequence and e.time = w.time
      and said = jsonb_strip_nulls(jsonb_build_object('table', w.source, 'row', w.row_key,
        'revision', w.revision, 'before', w.before, 'after', w.after, 'found', w.found)))`;
}

export function toEntry(row: EntryRow): WitnessEntry {
  return {
    table: row.source,
    row: row.row_key,
    revision: Number(row.revision),
    ...(row.before !== null && { before: row.before }),
    ...(row.after !== null && { after: row.after }),
    ...(row.found !== null && { found: row.found }),
    chain: row.chain,
    sequence: Number(row.sequence),
    time: row.time,
  };
}

/** @param digest of the row as it is; absent where there is no row */
export function toStateEntry(row: JudgedRow, digest: string | undefined): StateEntry {
  const present = row.is_newest ? digest : undefined;
  return {
    ...toEntry(row),
    isNewest: row.is_newest,
    isFirst: row.is_first,
    isOnRecord: row.is_on_record,
    ...(present !== undefined && { present }),
  };
}
