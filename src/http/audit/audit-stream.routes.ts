import { setTimeout as delay } from 'node:timers/promises';
import type { RecordFormats } from '../../core/audit/record.ts';
import { ServiceError } from '../../core/errors.ts';
import type { LogFollower, LogPosition } from '../../core/audit/ports.ts';
import { authenticateAgain, principalOf, type RequestContext } from '../context.ts';
import { isAllowed } from '../route.ts';
import type { Routes } from '../routes.ts';
import { streamRoute } from '../stream-route.ts';
import type { Cursors } from '../values/cursors.ts';

export interface AuditStreamParts {
  readonly follower: LogFollower;
  readonly formats: RecordFormats;
  /** The process ends: streams give way. */
  readonly closing: AbortSignal;
  /** A stream has ended for a fault of ours. */
  readonly onFault: (error: unknown, requestId: string) => void;
}

const ACTION = 'Strongroom/audit/read/action';
/** Streams of one process; each asks the database twice a second. */
const STREAMS_LIMIT = 20;
/** Of these, those of one principal. */
const STREAMS_LIMIT_EACH = 4;
const POLL_MS = 500;
const PAGE = 500;
/** A comment now and then keeps proxies from closing what is silent. */
const COMMENT_AFTER_MS = 15_000;
/** Of a Last-Event-ID: some hundreds of chains that are being written. */
const POSITION_LIMIT = 8_192;
/** Positions tell of chains that have ended meanwhile: those are left out every so often. */
const SHORTEN_AFTER_MS = 60_000;

/**
 * The audit log as it grows: server-sent events, one a record. Who was cut off goes on after the Last-Event-ID; without one
 * it begins with what comes now. Whether the client may still read is asked again all the time.
 */
export function addAuditStreamRoute(
  routes: Routes,
  { follower, formats, closing, onFault }: AuditStreamParts,
): void {
  const { authorizer, cursors } = routes.services;
  const places = createPlaces();
  const positions = createPositions(cursors);

  async function* follow(begun: LogPosition, context: RequestContext, over: AbortSignal) {
    let position = begun;
    let lastWriteAt = performance.now();
    let shortenedAt = Number.NEGATIVE_INFINITY;
    yield ': the audit log\n\n';
    while (!over.aborted) {
      await authenticateAgain(context);
      if (!(await isAllowed(authorizer, context, ACTION, '/'))) return;
      if (performance.now() - shortenedAt > SHORTEN_AFTER_MS) {
        position = await follower.shorten(position);
        shortenedAt = performance.now();
      }
      const page = await follower.read(position, PAGE);
      let text = '';
      for (const { event, position: after } of page) {
        position = after;
        text += `id: ${positions.write(after)}\ndata: ${JSON.stringify(formats.strongroom(event))}\n\n`;
      }
      if (text === '' && performance.now() - lastWriteAt > COMMENT_AFTER_MS) text = ':\n\n';
      if (text !== '') {
        yield text;
        lastWriteAt = performance.now();
      }
      if (page.length < PAGE) await delay(POLL_MS, undefined, { signal: over });
    }
  }

  streamRoute(routes, {
    method: 'get',
    path: '/audit/stream',
    operation: 'AuditStream',
    action: ACTION,
    keyMaterial: 'none',
    params: () => ({}),
    scope: () => '/',
    key: null,
    start: (lastEventId) => (lastEventId === undefined ? undefined : positions.read(lastEventId)),
    enter: (context) => places.take(principalOf(context).objectId),
    open: async (start, context, over) => follow(start ?? (await follower.end()), context, over),
    closing,
    onFault,
  });
}

/** Places for streams, of which nobody may take another's share. */
function createPlaces() {
  const taken = new Map<string, number>();
  let all = 0;
  return {
    /** @returns what gives the place back. @throws ServiceError Overloaded */
    take(principalId: string): () => void {
      const own = taken.get(principalId) ?? 0;
      if (own >= STREAMS_LIMIT_EACH)
        throw new ServiceError('Overloaded', 'Too many streams of this principal are open.');
      if (all >= STREAMS_LIMIT)
        throw new ServiceError('Overloaded', 'Too many streams of the audit log are open.');
      taken.set(principalId, own + 1);
      all += 1;
      return () => {
        const left = (taken.get(principalId) ?? 1) - 1;
        if (left > 0) taken.set(principalId, left);
        else taken.delete(principalId);
        all -= 1;
      };
    },
  };
}

/** Last-Event-ID, which nobody else can make. */
function createPositions(cursors: Cursors) {
  return {
    write: ({ done, at }: LogPosition) =>
      cursors.seal('AuditStream', JSON.stringify([done, ...at])),
    /** @throws ServiceError BadParameter */
    read(text: string): LogPosition {
      const place = cursors.open(
        'AuditStream',
        text.slice(0, POSITION_LIMIT),
        'header Last-Event-ID',
      );
      const [done, ...at] = JSON.parse(place) as [number, ...[number, number][]];
      return { done, at: new Map(at) };
    },
  };
}
