import { sql } from 'kysely';
import { type TrailFollower, type TrailPosition } from '../core/trail-ports.ts';
import { type AuditEvent } from '../core/audit.ts';
import { toEvent } from './audit-store.ts';
import { reading, type StoreContext } from './database.ts';
import { type AuditEventRow } from './tables.ts';

/** A chain's number is given before it can be seen: one that is missing among the numbers may still come, for so long. */
const SETTLED_AFTER_MS = 60_000;

interface Place {
  readonly number: string;
  readonly sequence: string;
  readonly isOver: boolean;
}

/** Reads what is added to the trail, whichever process adds it: nothing twice, nothing left out. */
export function createTrailFollower(context: Pick<StoreContext, 'db' | 'poolId'>): TrailFollower {
  const { poolId } = context;

  return {
    end: () =>
      reading(context, async (db) => {
        const { rows } = await sql<Place>`
          select c.number, coalesce(e.sequence, 0) as sequence,
            c.begun_at < now() - make_interval(secs => ${SETTLED_AFTER_MS / 1000}) and exists (
              select from audit_checkpoint_head h
              where h.pool_id = c.pool_id and h.chain = c.chain and h.ends) as "isOver"
          from audit_chain c
          left join lateral (
            select sequence from audit_event e where e.chain = c.chain order by sequence desc limit 1) e on true
          where c.pool_id = ${poolId} order by c.number`.execute(db);
        return toPosition(rows);
      }),

    read: (position, limit) =>
      reading(context, async (db) => {
        const places = JSON.stringify(
          [...position.at].map(([number, sequence]) => ({ number, sequence })),
        );
        const { rows } = await sql<AuditEventRow & { number: string }>`
          select e.*, c.number
          from audit_chain c
          left join json_to_recordset(${places}) as p (number bigint, sequence bigint)
            on p.number = c.number
          cross join lateral (
            select * from audit_event e
            where e.chain = c.chain and e.sequence > coalesce(p.sequence, 0)
            order by e.sequence limit ${limit}) e
          where c.pool_id = ${poolId} and c.number > ${position.done}
          order by e.time, c.number, e.sequence limit ${limit}`.execute(db);
        const at = new Map(position.at);
        const events: { event: AuditEvent; position: TrailPosition }[] = [];
        for (const { number, ...row } of rows) {
          at.set(Number(number), Number(row.sequence));
          events.push({ event: toEvent(row), position: { done: position.done, at: new Map(at) } });
        }
        return events;
      }),
  };
}

/** All chains up to `done` are read to their ends; of those after it each is read up to its place. */
function toPosition(places: readonly Place[]): TrailPosition {
  const firstOpen = places.findIndex(({ isOver }) => !isOver);
  const open = firstOpen === -1 ? [] : places.slice(firstOpen);
  const done = Number(places[firstOpen === -1 ? places.length - 1 : firstOpen - 1]?.number ?? 0);
  return {
    done,
    at: new Map(open.map(({ number, sequence }) => [Number(number), Number(sequence)])),
  };
}
