import { type Response, type Router } from 'express';
import { type RecordFormats } from '../../core/audit/record.ts';
import { ServiceError } from '../../core/errors.ts';
import { type LogFollower, type LogPosition } from '../../core/audit/ports.ts';
import { type Authenticate } from '../identity/authentication.ts';
import { isAllowed, requireAllowed } from '../access/authorisation.ts';
import { clientThumbprint } from '../identity/client-certificate.ts';
import { principalOf, contextOf } from '../context.ts';
import { type Cursors } from '../values/cursors.ts';
import { type RouteServices } from '../route.ts';
import { writeHead } from '../send.ts';

export interface AuditStreamParts {
  readonly follower: LogFollower;
  readonly authenticate: Authenticate;
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
/** A reader that takes nothing for so long is gone. */
const STUCK_AFTER_MS = 30_000;
const STUCK = new Error('the reader is stuck');
/** Of a Last-Event-ID: some hundreds of chains that are being written. */
const POSITION_LIMIT = 8_192;
/** Positions tell of chains that have ended meanwhile: those are left out every so often. */
const SHORTEN_AFTER_MS = 60_000;

/**
 * The audit log as it grows: server-sent events (WHATWG HTML §9.2), one a record. Who was cut off goes on after the
 * Last-Event-ID; without one it begins with what comes now. Whether the caller may still read is asked again all the time.
 */
export function addAuditStreamRoute(
  router: Router,
  services: RouteServices,
  { follower, authenticate, formats, closing, onFault }: AuditStreamParts,
): void {
  const places = createPlaces();
  const positions = createPositions(services.cursors);

  router.get('/audit/stream', async (req, res) => {
    const context = contextOf(res);
    const { audit, requestId } = context;
    audit.note({ operation: 'AuditStream', action: ACTION, scope: '/' });
    await requireAllowed(services.authorizer, context, ACTION, '/');
    const { objectId } = principalOf(context);
    const asked = req.get('last-event-id');
    const begun = asked === undefined ? undefined : positions.read(asked);
    if (req.method === 'HEAD') {
      await services.auditLog.append(audit.finish({ status: 200 }));
      writeHead(res, 200, HEAD);
      res.end();
      return;
    }
    // Before anything is waited for: of many that come at once no more get a place than there are.
    const leave = places.take(objectId);
    const gone = new AbortController();
    res.once('close', () => {
      gone.abort();
    });
    const over = AbortSignal.any([gone.signal, closing]);
    try {
      let position = begun ?? (await follower.end());
      await services.auditLog.append(audit.finish({ status: 200 }));
      if (res.destroyed) return;
      writeHead(res, 200, HEAD);
      await write(res, ': the audit log\n\n', over);
      let lastWriteAt = performance.now();
      let shortenedAt = Number.NEGATIVE_INFINITY;
      while (!over.aborted) {
        context.principal = await authenticate(req.headers.authorization, {
          audience: 'pool',
          thumbprint: () => clientThumbprint(req),
        });
        if (!(await isAllowed(services.authorizer, context, ACTION, '/'))) break;
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
          await write(res, text, over);
          lastWriteAt = performance.now();
        }
        if (page.length < PAGE) await pause(POLL_MS, over);
      }
    } catch (error) {
      if (!res.headersSent) throw error;
      // Whoever's access has ended, or takes nothing, is let go; what else ends a stream is a fault of ours. Either way
      // the reader may come back with its Last-Event-ID.
      if (isAccessOver(error) || error === STUCK) return;
      onFault(error, requestId);
      const fault = {
        code: 'StreamFailed',
        message: `The stream has failed. (Activity ID: ${requestId})`,
      };
      res.write(`event: fault\ndata: ${JSON.stringify(fault)}\n\n`);
    } finally {
      leave();
      if (res.headersSent) res.end();
    }
  });
}

const HEAD = [
  ...['Content-Type', 'text/event-stream; charset=utf-8'],
  ...['Cache-Control', 'no-store'],
];

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

function isAccessOver(error: unknown): boolean {
  return error instanceof ServiceError && error.code === 'Unauthenticated';
}

/** Waits until the reader has taken it. */
async function write(res: Response, text: string, over: AbortSignal): Promise<void> {
  if (res.write(text) || over.aborted) return;
  await new Promise<void>((resolve, reject) => {
    const settle = (how: () => void) => () => {
      clearTimeout(stuck);
      res.off('drain', go);
      over.removeEventListener('abort', go);
      how();
    };
    const go = settle(resolve);
    const stuck = setTimeout(
      settle(() => {
        reject(STUCK);
      }),
      STUCK_AFTER_MS,
    );
    res.once('drain', go);
    over.addEventListener('abort', go, { once: true });
  });
}

function pause(ms: number, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      clearTimeout(timer);
      over.removeEventListener('abort', go);
      resolve();
    };
    const timer = setTimeout(go, ms);
    over.addEventListener('abort', go, { once: true });
  });
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
