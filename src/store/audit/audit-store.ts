import { sql } from 'kysely';
import type { AuditEvent, AuditRecord } from '../../core/audit/record.ts';
import type { AuditChain } from '../../core/audit/chain.ts';
import type { AuditReader } from '../../core/audit/ports.ts';
import { insertAuditRecords, toLinkedRecord } from './audit-rows.ts';
import { decodeCursor, pageOf } from '../cursors.ts';
import { fromPostgres } from '../errors.ts';
import { outcomeOf, reading, type StoreContext } from '../database.ts';
import type { AuditEventRow } from '../tables.ts';

/** Milliseconds since 1970-01-01 UTC, chain, sequence. */
const PLACE = /^\d{1,15} [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12} \d{1,15}$/;

/** Durable when it resolves: one statement, one commit, for as many records as there are. */
export function createAuditWriter(
  context: Pick<StoreContext, 'db' | 'poolId'> & { readonly chain: AuditChain },
) {
  const { poolId, chain, db } = context;
  return {
    async write(records: readonly AuditRecord[]): Promise<void> {
      const lock = await chain.lock();
      try {
        const linked = lock.link(records);
        const isFirst = linked[0]?.sequence === 1;
        // A chain's first write is two statements.
        if (isFirst)
          await db.transaction().execute((trx) => insertAuditRecords(trx, poolId, linked));
        else await insertAuditRecords(db, poolId, linked);
        lock.settle('written');
      } catch (thrown) {
        const error = fromPostgres(thrown);
        lock.settle(outcomeOf(error));
        throw error;
      }
    },
  };
}

export function createAuditReader(context: Pick<StoreContext, 'db' | 'poolId'>): AuditReader {
  return {
    listEvents: (filter, { after, limit }) =>
      reading(context, async (db) => {
        const { from, to, principalId, keyName, operation, action, outcome, oldestFirst } = filter;
        const order = oldestFirst === true ? 'asc' : 'desc';
        let query = db
          .selectFrom('audit_event')
          .selectAll()
          .where('pool_id', '=', context.poolId)
          .orderBy('time', order)
          .orderBy('chain', order)
          .orderBy('sequence', order)
          .limit(limit + 1);
        if (from !== undefined) query = query.where('time', '>=', from);
        if (to !== undefined) query = query.where('time', '<', to);
        if (principalId !== undefined)
          query = query.where(sql`lower(principal_id)`, '=', principalId.toLowerCase());
        if (keyName !== undefined)
          query = query.where(sql`lower(key_name)`, '=', keyName.toLowerCase());
        if (operation !== undefined)
          query = query.where(sql`lower(operation)`, '=', operation.toLowerCase());
        if (action !== undefined)
          query = query.where(sql`lower(action)`, '=', action.toLowerCase());
        if (outcome !== undefined) query = query.where('outcome', '=', outcome);
        if (after !== undefined) {
          const [time, chain, sequence] = decodeCursor(after, PLACE).split(' ');
          const at = new Date(Number(time));
          // The first condition is what the partitions are chosen by.
          query = query
            .where('time', order === 'asc' ? '>=' : '<=', at)
            .where(
              sql<boolean>`(time, chain, sequence) ${sql.raw(order === 'asc' ? '>' : '<')} (${at}, ${chain}, ${sequence})`,
            );
        }
        return pageOf(await query.execute(), limit, toEvent, placeOf);
      }),
  };
}

export function toEvent(row: AuditEventRow): AuditEvent {
  return { id: `${row.chain}-${row.sequence}`, ...toLinkedRecord(row) };
}

function placeOf(row: AuditEventRow): string {
  return `${row.time.getTime()} ${row.chain} ${row.sequence}`;
}
