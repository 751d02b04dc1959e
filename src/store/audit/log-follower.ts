import { sql } from 'kysely';
import type { LogFollower, LogPosition } from '../../core/audit/ports.ts';
import type { AuditEvent } from '../../core/audit/record.ts';
import { toEvent } from './audit-store.ts';
import { reading, type StoreContext } from '../database.ts';
import type { AuditEventRow } from '../tables.ts';

/** A chain's number is given before it can be seen: one that is missing among the numbers may still come, for so long. */
const SETTLED_AFTER_MS = 60_000;

interface Place {
  readonly number: string;
  /** Up to where it is read. */
  readonly sequence: string;
  /** No record can follow, and all are read. */
  readonly isOver: boolean;
  /** Numbers before this one that aren't there now will never be. */
  readonly isSettled: boolean;
}

/** Reads what is added to the audit log, whichever process adds it: nothing twice, nothing left out. */
export function createLogFollower(context: Pick<StoreContext, 'db' | 'poolId'>): LogFollower {
  const { poolId } = context;
  const isSettled = sql`c.begun_at < now() - make_interval(secs => ${SETTLED_AFTER_MS / 1000})`;
  const hasEnded = sql`exists (
    select from audit_checkpoint_head h where h.pool_id = c.pool_id and h.chain = c.chain and h.ends)`;

  /** The chains that may have something to be read, and how far each is. */
  function openChains({ done, at }: LogPosition) {
    const places = JSON.stringify([...at].map(([number, sequence]) => ({ number, sequence })));
    return sql`
      with place as materialized (
        select number, sequence from json_to_recordset(${places}) as p (number bigint, sequence bigint)
      ), open as materialized (
        select c.*, place.sequence from place join audit_chain c on c.number = place.number
        where c.pool_id = ${poolId}
        union all
        select c.*, 0 from audit_chain c
        where c.pool_id = ${poolId} and c.number > ${done}
          and not exists (select from place where place.number = c.number))`;
  }

  return {
    end: () =>
      reading(context, async (db) => {
        const { rows } = await sql<Place>`
          select c.number, coalesce(e.sequence, 0) as sequence, ${hasEnded} as "isOver", ${isSettled} as "isSettled"
          from audit_chain c
          left join lateral (
            select sequence from audit_event e where e.chain = c.chain order by sequence desc limit 1) e on true
          where c.pool_id = ${poolId}`.execute(db);
        return toPosition(rows, 0);
      }),

    read: (position, limit) =>
      reading(context, async (db) => {
        const { rows } = await sql<AuditEventRow & { number: string }>`
          ${openChains(position)}
          select e.*, c.number
          from open c
          cross join lateral (
            select * from audit_event e
            where e.chain = c.chain and e.sequence > c.sequence
            order by e.sequence limit ${limit}) e
          order by e.time, c.number, e.sequence limit ${limit}`.execute(db);
        const at = new Map(position.at);
        const events: { event: AuditEvent; position: LogPosition }[] = [];
        for (const { number, ...row } of rows) {
          at.set(Number(number), Number(row.sequence));
          events.push({ event: toEvent(row), position: { done: position.done, at: new Map(at) } });
        }
        return events;
      }),

    shorten: (position) =>
      reading(context, async (db) => {
        const { rows } = await sql<Place>`
          ${openChains(position)}
          select c.number, c.sequence, ${isSettled} as "isSettled", ${hasEnded} and not exists (
            select from audit_event e where e.chain = c.chain and e.sequence > c.sequence) as "isOver"
          from open c`.execute(db);
        return toPosition(rows, position.done);
      }),
  };
}

/** The chains that aren't over, and those whose numbers are too new to know that none before them is to come. */
function toPosition(places: readonly Place[], doneBefore: number): LogPosition {
  const done = places.reduce(
    (most, { number, isSettled }) => (isSettled ? Math.max(most, Number(number)) : most),
    doneBefore,
  );
  const kept = places.filter(({ number, isOver }) => !isOver || Number(number) > done);
  return {
    done,
    at: new Map(kept.map(({ number, sequence }) => [Number(number), Number(sequence)])),
  };
}
