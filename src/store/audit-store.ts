import { sql } from 'kysely';
import { type AuditEvent, type AuditRecord } from '../core/audit.ts';
import { type AuditReader } from '../core/ports.ts';
import { insertAuditRecords } from './audit-rows.ts';
import { decodeCursor, pageOf } from './cursors.ts';
import { reading, type StoreContext } from './database.ts';
import { type AuditEventRow } from './tables.ts';

const ID = /^\d{1,18}$/;

/** Durable when it resolves: one statement, one commit, for as many records as there are. */
export function createAuditSink(context: StoreContext) {
  return {
    write: (records: readonly AuditRecord[]): Promise<void> =>
      reading(context, (db) => insertAuditRecords(db, context.poolId, context.writer, records)),
  };
}

export function createAuditReader(context: StoreContext): AuditReader {
  return {
    listEvents: (filter, { after, limit }) =>
      reading(context, async (db) => {
        const { from, to, principalId, keyName, operation, outcome } = filter;
        let query = db
          .selectFrom('audit_event')
          .selectAll()
          .where('pool_id', '=', context.poolId)
          .orderBy('id', 'desc')
          .limit(limit + 1);
        if (from !== undefined) query = query.where('time', '>=', from);
        if (to !== undefined) query = query.where('time', '<', to);
        if (principalId !== undefined) query = query.where('principal_id', '=', principalId);
        if (keyName !== undefined)
          query = query.where(sql`lower(key_name)`, '=', keyName.toLowerCase());
        if (operation !== undefined) query = query.where('operation', '=', operation);
        if (outcome !== undefined) query = query.where('outcome', '=', outcome);
        if (after !== undefined) query = query.where('id', '<', decodeCursor(after, ID));
        return pageOf(await query.execute(), limit, toEvent, (row) => row.id);
      }),
  };
}

/** What a record doesn't say is absent, not null. */
function toEvent(row: AuditEventRow): AuditEvent {
  const all = {
    id: row.id,
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
    durationMs: row.duration_ms,
    change: row.change,
  };
  return Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== null),
  ) as unknown as AuditEvent;
}
