import { type Response, type Router } from 'express';
import { type RecordFormats } from '../core/audit.ts';
import { ServiceError } from '../core/errors.ts';
import { type TrailFollower, type TrailPosition } from '../core/trail-ports.ts';
import { type Authenticate } from './authentication.ts';
import { clientThumbprint } from './client-certificate.ts';
import { callerOf, contextOf } from './context.ts';
import { type RouteServices } from './route.ts';
import { writeHead } from './send.ts';

export interface AuditStreamParts {
  readonly follower: TrailFollower;
  readonly authenticate: Authenticate;
  readonly formats: RecordFormats;
  /** The process ends: streams give way. */
  readonly closing: AbortSignal;
}

const ACTION = 'Strongroom/audit/read/action';
/** Streams of one process; each asks the database twice a second. */
const STREAMS_LIMIT = 20;
const POLL_MS = 500;
const PAGE = 500;
/** A comment now and then keeps proxies from closing what is silent. */
const COMMENT_AFTER_MS = 15_000;
/** A reader that takes nothing for so long is gone. */
const STUCK_AFTER_MS = 30_000;
/** Of a Last-Event-ID: some hundreds of chains that are being written. */
const POSITION_LIMIT = 8_192;
/** Positions tell of chains that have ended meanwhile: those are left out every so often. */
const SHORTEN_AFTER_MS = 60_000;

/**
 * The trail as it grows: server-sent events (WHATWG HTML §9.2), one a record. Who was cut off goes on after the
 * Last-Event-ID; without one it begins with what comes now. Whether the caller may still read is asked again all the time.
 */
export function addAuditStreamRoute(
  router: Router,
  services: RouteServices,
  { follower, authenticate, formats, closing }: AuditStreamParts,
): void {
  let streams = 0;

  router.get('/audit/stream', async (req, res) => {
    const context = contextOf(res);
    const { audit } = context;
    audit.note({ operation: 'AuditStream', action: ACTION, scope: '/' });
    const isAllowed = () => services.authorizer.isAllowed(callerOf(context), ACTION, '/');
    if (!(await isAllowed()))
      throw new ServiceError('AccessDenied', `Not authorized to access ${ACTION} on /`);
    const asked = req.get('last-event-id');
    if (streams >= STREAMS_LIMIT)
      throw new ServiceError('Overloaded', 'Too many streams of the audit trail are open.');
    let position = asked === undefined ? await follower.end() : readPosition(asked);
    await services.trail.append(audit.finish({ status: 200 }));

    streams += 1;
    const gone = new AbortController();
    res.once('close', () => {
      gone.abort();
    });
    const over = AbortSignal.any([gone.signal, closing]);
    try {
      writeHead(res, 200, [
        ...['Content-Type', 'text/event-stream; charset=utf-8'],
        ...['Cache-Control', 'no-store'],
      ]);
      await write(res, ': the audit trail\n\n', over);
      let lastWriteAt = performance.now();
      let shortenedAt = Number.NEGATIVE_INFINITY;
      while (!over.aborted) {
        const caller = await authenticate(req.headers.authorization, {
          audience: 'pool',
          thumbprint: () => clientThumbprint(req),
        });
        if (!(await services.authorizer.isAllowed(caller, ACTION, '/'))) break;
        if (performance.now() - shortenedAt > SHORTEN_AFTER_MS) {
          position = await follower.shorten(position);
          shortenedAt = performance.now();
        }
        const page = await follower.read(position, PAGE);
        let text = '';
        for (const { event, position: after } of page) {
          position = after;
          text += `id: ${encodePosition(after)}\ndata: ${JSON.stringify(formats.strongroom(event))}\n\n`;
        }
        if (text === '' && performance.now() - lastWriteAt > COMMENT_AFTER_MS) text = ':\n\n';
        if (text !== '') {
          await write(res, text, over);
          lastWriteAt = performance.now();
        }
        if (page.length < PAGE) await pause(POLL_MS, over);
      }
    } catch {
      // The token has expired, the database is away, the reader is stuck: it comes back with its Last-Event-ID.
    } finally {
      streams -= 1;
      res.end();
    }
  });
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
        reject(new Error('the reader is stuck'));
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

function encodePosition({ done, at }: TrailPosition): string {
  return Buffer.from(JSON.stringify([done, ...at])).toString('base64url');
}

/** @throws ServiceError BadParameter */
function readPosition(text: string): TrailPosition {
  try {
    if (text.length > POSITION_LIMIT) throw new RangeError('too long');
    const [done, ...at] = JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown[];
    const places = at.map((place) => {
      if (!Array.isArray(place) || place.length !== 2 || !place.every(isCount))
        throw new TypeError('no place');
      return [Number(place[0]), Number(place[1])] as const;
    });
    if (!isCount(done)) throw new TypeError('no number');
    return { done, at: new Map(places) };
  } catch {
    throw new ServiceError('BadParameter', 'The header Last-Event-ID has an invalid value.');
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
