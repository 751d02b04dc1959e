import type { Kysely } from 'kysely';
import type { AuditRecord } from '../../core/audit/record.ts';
import {
  columnOf,
  FIELD_NAMES,
  type FieldName,
  RECORD_FIELDS,
} from '../../core/audit/record-fields.ts';
import type { LinkedRecord, NewLink } from '../../core/audit/chain.ts';
import { runPrepared } from '../prepared-query.ts';
import type { AuditEventRow, Tables } from '../tables.ts';

/** The columns, each with the member of a record's canonical JSON that it is filled from and its type. */
const COLUMNS = [
  ['chain', 'chain', 'uuid'],
  ['sequence', 'sequence', 'bigint'],
  ['hash', 'hash', 'bytea'],
  ...FIELD_NAMES.map((name) => [columnOf(name), name, RECORD_FIELDS[name].type]),
] as const;

const NAMES = COLUMNS.map(([column]) => column).join(', ');
const MEMBERS = COLUMNS.map(([, member]) => `r."${member}"`).join(', ');
const TYPED = COLUMNS.map(([, member, type]) => `"${member}" ${type}`).join(', ');
/** The same text each time: it isn't put together again for each commit. */
const INSERT = `insert into audit_event (pool_id, ${NAMES})
  select $1::uuid, ${MEMBERS} from json_to_recordset($2) as r (${TYPED})`;
/** The same, and the index over what the records witness. */
const INSERT_WITNESSES = `with said as materialized (
    select * from json_to_recordset($2) as r (${TYPED})
  ), recorded as (
    insert into audit_event (pool_id, ${NAMES}) select $1::uuid, ${MEMBERS} from said as r
  )
  insert into audit_witness
    (pool_id, source, row_key, revision, before, after, found, chain, sequence, time)
  select $1::uuid, w."table", w."row", w.revision, w.before, w.after, w.found, r.chain, r.sequence, r.time
  from said as r cross join lateral jsonb_to_recordset(r.witnessed) as w
    ("table" text, "row" text, revision bigint, before text, after text, found text)`;

/**
 * Adds records in one statement: all or none. They go as one JSON text, since a parameter for each value of hundreds of
 * records costs several times as much here; and it is the text that their hashes cover, since to write each once is enough.
 */
export async function insertAuditRecords(
  db: Kysely<Tables>,
  poolId: string,
  links: readonly NewLink[],
): Promise<void> {
  const [first] = links;
  if (first?.sequence === 1)
    await db
      .insertInto('audit_chain')
      .values({ pool_id: poolId, chain: first.chain, begun_at: first.time })
      .execute();
  const rows = `[${links.map(withHash).join(',')}]`;
  if (links.some(({ isWitness }) => isWitness))
    await runPrepared(db, 'insert-audit-witnesses', INSERT_WITNESSES, [poolId, rows]);
  else await runPrepared(db, 'insert-audit-records', INSERT, [poolId, rows]);
}

function withHash({ canonical, hash }: NewLink): string {
  return `${canonical.slice(0, -1)},"hash":"\\\\x${Buffer.from(hash).toString('hex')}"}`;
}

/** As answers show them: in the order of the list. */
const READ = (Object.keys(RECORD_FIELDS) as FieldName[]).map(
  (name) => [name, columnOf(name)] as const,
);

/** What a record doesn't say is absent, not null. */
function toRecord(row: AuditEventRow): AuditRecord {
  const said: readonly (readonly [string, unknown])[] = READ.map(
    ([name, column]) => [name, row[column]] as const,
  );
  const record: unknown = Object.fromEntries(said.filter(([, value]) => value !== null));
  return record as AuditRecord;
}

/** As it stands in the store, whatever its hash says. */
export function toLinkedRecord(row: AuditEventRow): LinkedRecord {
  return {
    ...toRecord(row),
    chain: row.chain,
    sequence: Number(row.sequence),
    hash: row.hash,
  };
}
