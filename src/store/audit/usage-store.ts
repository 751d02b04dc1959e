import { sql } from 'kysely';
import { nearestDate } from '../../core/keys/key-date.ts';
import type { Usage, UsageReader } from '../../core/audit/usage.ts';
import { decodeCursor, pageOf } from '../cursors.ts';
import { reading, type StoreContext } from '../database.ts';

type UsageContext = Pick<StoreContext, 'db' | 'poolId'>;

/** Records counted in one transaction, at most. */
const BATCH = 20_000;
/** What keys are for; reading their attributes is no use of them. */
const USES = [
  'KeyEncrypt',
  'KeyDecrypt',
  'KeyWrap',
  'KeyUnwrap',
  'KeySign',
  'KeyVerify',
  'KeyRelease',
  'KeySecureWrap',
  'KeySecureUnwrap',
];

/**
 * Counts what has come to the audit log since the last time: each record once, whichever process does it.
 * @returns whether there may be more
 */
export async function countUsage({ db, poolId }: UsageContext): Promise<boolean> {
  return reading({ db }, () =>
    db.transaction().execute(async (trx) => {
      const { rows: locks } = await sql<{ isMine: boolean }>`
        select pg_try_advisory_xact_lock(hashtextextended(${`usage ${poolId}`}, 0)) as "isMine"`.execute(
        trx,
      );
      if (locks[0]?.isMine !== true) return false;
      const { rows } = await sql<{ counted: string }>`
        with place as (
          select c.chain, coalesce(p.sequence, 0) as sequence
          from audit_chain c
          left join audit_usage_position p on p.pool_id = c.pool_id and p.chain = c.chain
          where c.pool_id = ${poolId} and p.is_over is not true
        ), fresh as materialized (
          select e.chain, e.sequence, e.time, coalesce(lower(e.key_name), '') as key_name,
            coalesce(e.principal_id, '') as principal_id, e.operation, e.outcome
          from place
          cross join lateral (
            select * from audit_event e
            where e.chain = place.chain and e.sequence > place.sequence
            order by e.sequence limit ${BATCH}) e
          where e.pool_id = ${poolId}
          order by e.chain, e.sequence limit ${BATCH}
        ), reached as (
          select place.chain, greatest(place.sequence, max(fresh.sequence)) as sequence
          from place left join fresh on fresh.chain = place.chain
          group by place.chain, place.sequence
        ), moved as (
          insert into audit_usage_position (pool_id, chain, sequence, is_over)
          select ${poolId}::uuid, chain, coalesce(sequence, 0), exists (
            select from audit_checkpoint_head h
            where h.pool_id = ${poolId} and h.chain = reached.chain and h.ends
              and h.sequence <= reached.sequence)
          from reached
          on conflict (pool_id, chain) do update
            set sequence = excluded.sequence, is_over = excluded.is_over
            where (audit_usage_position.sequence, audit_usage_position.is_over)
              is distinct from (excluded.sequence, excluded.is_over)
        ), counted as (
          insert into audit_usage (pool_id, period, start, key_name, principal_id, operation,
            succeeded, failed, last_at)
          select ${poolId}::uuid, period, date_trunc(period, time, 'UTC'), key_name, principal_id, operation,
            count(*) filter (where outcome = 'success'),
            count(*) filter (where outcome = 'failure'), max(time)
          from fresh cross join (values ('hour'), ('day')) as periods (period)
          group by period, date_trunc(period, time, 'UTC'), key_name, principal_id, operation
          on conflict (pool_id, period, start, key_name, principal_id, operation) do update
            set succeeded = audit_usage.succeeded + excluded.succeeded,
              failed = audit_usage.failed + excluded.failed,
              last_at = greatest(audit_usage.last_at, excluded.last_at)
        ), used as (
          insert into audit_key_use (pool_id, key_name, last_used_at)
          select ${poolId}::uuid, key_name, max(time) from fresh
          where outcome = 'success' and operation = any(${USES}) and key_name <> ''
          group by key_name
          on conflict (pool_id, key_name) do update
            set last_used_at = greatest(audit_key_use.last_used_at, excluded.last_used_at)
        )
        select count(*) as counted from fresh`.execute(trx);
      return Number(rows[0]?.counted) >= BATCH;
    }),
  );
}

const NAME = /^[0-9a-z-]{1,127}$/;
/** Milliseconds since 1970-01-01 UTC and the rest of the primary key, as JSON. */
const PLACE = /^\[\d{1,15}(?:,"(?:[^"\\\p{Cc}]|\\["\\])*"){3}\]$/u;

export function createUsageReader(context: UsageContext): UsageReader {
  const { poolId } = context;
  return {
    listUsage: ({ period, from, to, keyName, principalId, operation }, { after, limit }) =>
      reading(context, async (db) => {
        let query = db
          .selectFrom('audit_usage')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('period', '=', period)
          .orderBy('start', 'desc')
          .orderBy('key_name', 'desc')
          .orderBy('principal_id', 'desc')
          .orderBy('operation', 'desc')
          .limit(limit + 1);
        if (from !== undefined) query = query.where('start', '>=', from);
        if (to !== undefined) query = query.where('start', '<', to);
        if (keyName !== undefined) query = query.where('key_name', '=', keyName.toLowerCase());
        if (principalId !== undefined)
          query = query.where(sql`lower(principal_id)`, '=', principalId.toLowerCase());
        if (operation !== undefined)
          query = query.where(sql`lower(operation)`, '=', operation.toLowerCase());
        if (after !== undefined) {
          const [start, ...rest] = JSON.parse(decodeCursor(after, PLACE)) as [number, ...string[]];
          query = query.where(
            sql<boolean>`(start, key_name, principal_id, operation) < (${new Date(start)}, ${sql.join(rest)})`,
          );
        }
        return pageOf(
          await query.execute(),
          limit,
          (row): Usage => ({
            start: row.start,
            ...(row.key_name !== '' && { keyName: row.key_name }),
            ...(row.principal_id !== '' && { principalId: row.principal_id }),
            operation: row.operation,
            succeeded: Number(row.succeeded),
            failed: Number(row.failed),
            lastAt: row.last_at,
          }),
          (row) =>
            JSON.stringify([row.start.getTime(), row.key_name, row.principal_id, row.operation]),
        );
      }),

    listUnusedKeys: (since, { after, limit }) =>
      reading(context, async (db) => {
        let query = db
          .selectFrom('key')
          .leftJoin('audit_key_use as use', (join) =>
            join
              .onRef('use.pool_id', '=', 'key.pool_id')
              .onRef('use.key_name', '=', 'key.name_key'),
          )
          .select(['key.name', 'key.name_key', 'use.last_used_at'])
          .where('key.pool_id', '=', poolId)
          .where('key.deleted_at', 'is', null)
          .where((is) =>
            is.or([is('use.last_used_at', 'is', null), is('use.last_used_at', '<', since)]),
          )
          .orderBy('key.name_key')
          .limit(limit + 1);
        if (after !== undefined)
          query = query.where('key.name_key', '>', decodeCursor(after, NAME));
        return pageOf(
          await query.execute(),
          limit,
          (row) => ({
            keyName: row.name,
            ...(row.last_used_at !== null && { lastUsedAt: row.last_used_at }),
          }),
          (row) => row.name_key,
        );
      }),

    listExpiringKeys: (before, { after, limit }) =>
      reading(context, async (db) => {
        let query = db
          .selectFrom('key')
          .innerJoin('key_version as version', (join) =>
            join
              .onRef('version.pool_id', '=', 'key.pool_id')
              .onRef('version.name_key', '=', 'key.name_key')
              .onRef('version.version', '=', 'key.current_version'),
          )
          .select(['key.name', 'key.name_key', 'version.version', 'version.expires'])
          .where('key.pool_id', '=', poolId)
          .where('key.deleted_at', 'is', null)
          .where('version.expires', '<', String(Math.ceil(before.getTime() / 1000)))
          .orderBy('key.name_key')
          .limit(limit + 1);
        if (after !== undefined)
          query = query.where('key.name_key', '>', decodeCursor(after, NAME));
        return pageOf(
          await query.execute(),
          limit,
          (row) => ({
            keyName: row.name,
            version: row.version,
            expiresAt: new Date(nearestDate(Number(row.expires)) * 1000),
          }),
          (row) => row.name_key,
        );
      }),
  };
}
