import { type Insertable, type Kysely } from 'kysely';
import { type AuditRecord } from '../core/audit.ts';
import { type Tables } from './tables.ts';

/** Adds records in one statement: all or none. */
export async function insertAuditRecords(
  db: Kysely<Tables>,
  poolId: string,
  writer: string,
  records: readonly AuditRecord[],
): Promise<void> {
  await db
    .insertInto('audit_event')
    .values(records.map((record) => toRow(poolId, writer, record)))
    .execute();
}

function toRow(
  poolId: string,
  writer: string,
  record: AuditRecord,
): Insertable<Tables['audit_event']> {
  return {
    pool_id: poolId,
    writer,
    time: record.time,
    request_id: record.requestId,
    client_request_id: record.clientRequestId ?? null,
    tenant_id: record.tenantId ?? null,
    principal_id: record.principalId ?? null,
    application_id: record.applicationId ?? null,
    principal_name: record.principalName ?? null,
    client_address: record.clientAddress ?? null,
    user_agent: record.userAgent ?? null,
    operation: record.operation,
    action: record.action ?? null,
    scope: record.scope ?? null,
    key_name: record.keyName ?? null,
    key_version: record.keyVersion ?? null,
    algorithm: record.algorithm ?? null,
    outcome: record.outcome,
    status: record.status,
    error_code: record.errorCode ?? null,
    duration_ms: record.durationMs,
    change: record.change === undefined ? null : JSON.stringify(record.change),
  };
}
