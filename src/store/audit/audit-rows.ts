import { type Kysely } from 'kysely';
import { type AuditRecord } from '../../core/audit/record.ts';
import { type LinkedRecord, type NewLink } from '../../core/audit/chain.ts';
import { runPrepared } from '../prepared-query.ts';
import { type AuditEventRow, type Tables } from '../tables.ts';

/** The columns, each with its type and the member of a record's canonical JSON that it is filled from. */
const COLUMNS = {
  chain: ['uuid', 'chain'],
  sequence: ['bigint', 'sequence'],
  time: ['timestamptz', 'time'],
  hash: ['bytea', 'hash'],
  request_id: ['uuid', 'requestId'],
  client_request_id: ['text', 'clientRequestId'],
  tenant_id: ['text', 'tenantId'],
  principal_id: ['text', 'principalId'],
  application_id: ['text', 'applicationId'],
  principal_name: ['text', 'principalName'],
  client_address: ['text', 'clientAddress'],
  user_agent: ['text', 'userAgent'],
  operation: ['text', 'operation'],
  action: ['text', 'action'],
  scope: ['text', 'scope'],
  key_name: ['text', 'keyName'],
  key_version: ['text', 'keyVersion'],
  algorithm: ['text', 'algorithm'],
  outcome: ['text', 'outcome'],
  status: ['integer', 'status'],
  error_code: ['text', 'errorCode'],
  reason: ['text', 'reason'],
  duration_ms: ['double precision', 'durationMs'],
  change: ['jsonb', 'change'],
  witnessed: ['jsonb', 'witnessed'],
} as const satisfies Readonly<
  Record<Exclude<keyof AuditEventRow, 'pool_id'>, readonly [string, keyof LinkedRecord]>
>;

const NAMES = Object.keys(COLUMNS).join(', ');
const MEMBERS = Object.values(COLUMNS)
  .map(([, member]) => `r."${member}"`)
  .join(', ');
const TYPED = Object.values(COLUMNS)
  .map(([type, member]) => `"${member}" ${type}`)
  .join(', ');
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

/** What a record doesn't say is absent, not null. */
function toRecord(row: AuditEventRow): AuditRecord {
  const all = {
    time: row.time,
    requestId: row.request_id,
    clientRequestId: row.client_request_id,
    tenantId: row.tenant_id,
    principalId: row.principal_id,
    applicationId: row.application_id,
    principalName: row.principal_name,
    clientAddress: row.client_address,
    userAgent: row.user_agent,
    operation: row.operation,
    action: row.action,
    scope: row.scope,
    keyName: row.key_name,
    keyVersion: row.key_version,
    algorithm: row.algorithm,
    outcome: row.outcome,
    status: row.status,
    errorCode: row.error_code,
    reason: row.reason,
    durationMs: row.duration_ms,
    change: row.change,
    witnessed: row.witnessed,
  };
  return Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== null),
  ) as unknown as AuditRecord;
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
