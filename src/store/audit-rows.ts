import { CompiledQuery, type Kysely } from 'kysely';
import { type AuditRecord } from '../core/audit.ts';
import { type LinkedRecord } from '../core/audit-chain.ts';
import { type AuditEventRow, type Tables } from './tables.ts';

/** The record's own columns, in the order of the table, with their types. */
const COLUMNS = {
  request_id: 'uuid',
  client_request_id: 'text',
  tenant_id: 'text',
  principal_id: 'text',
  application_id: 'text',
  principal_name: 'text',
  client_address: 'text',
  user_agent: 'text',
  operation: 'text',
  action: 'text',
  scope: 'text',
  key_name: 'text',
  key_version: 'text',
  algorithm: 'text',
  outcome: 'text',
  status: 'integer',
  error_code: 'text',
  reason: 'text',
  duration_ms: 'double precision',
  change: 'jsonb',
} as const;
const PLACE = {
  chain: 'uuid',
  sequence: 'bigint',
  time: 'timestamptz',
  hash: 'bytea',
} as const;

const NAMES = Object.keys({ ...PLACE, ...COLUMNS }).join(', ');
const TYPED = Object.entries({ ...PLACE, ...COLUMNS })
  .map(([name, type]) => `${name} ${type}`)
  .join(', ');
/** The same text each time: it isn't put together again for each commit. */
const INSERT = `insert into audit_event (pool_id, ${NAMES})
  select $1::uuid, ${NAMES} from json_to_recordset($2) as r (${TYPED})`;

/**
 * Adds records in one statement: all or none. They go as one JSON text, since a parameter for each value of hundreds of
 * records costs several times as much here.
 */
export async function insertAuditRecords(
  db: Kysely<Tables>,
  poolId: string,
  records: readonly LinkedRecord[],
): Promise<void> {
  const [first] = records;
  if (first?.sequence === 1)
    await db
      .insertInto('audit_chain')
      .values({ pool_id: poolId, chain: first.chain, begun_at: first.time })
      .execute();
  await db.executeQuery(CompiledQuery.raw(INSERT, [poolId, JSON.stringify(records.map(toRow))]));
}

function toRow(record: LinkedRecord) {
  return {
    chain: record.chain,
    sequence: record.sequence,
    time: record.time,
    hash: `\\x${Buffer.from(record.hash).toString('hex')}`,
    request_id: record.requestId,
    client_request_id: record.clientRequestId,
    tenant_id: record.tenantId,
    principal_id: record.principalId,
    application_id: record.applicationId,
    principal_name: record.principalName,
    client_address: record.clientAddress,
    user_agent: record.userAgent,
    operation: record.operation,
    action: record.action,
    scope: record.scope,
    key_name: record.keyName,
    key_version: record.keyVersion,
    algorithm: record.algorithm,
    outcome: record.outcome,
    status: record.status,
    error_code: record.errorCode,
    reason: record.reason,
    duration_ms: record.durationMs,
    change: record.change,
  } satisfies Record<keyof typeof PLACE | keyof typeof COLUMNS, unknown>;
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
