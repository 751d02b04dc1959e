import { once } from 'node:events';
import type { Response } from 'express';
import { ServiceError } from '../core/errors.ts';
import type { RequestContext } from './context.ts';
import { authorise, type RouteAccess } from './route.ts';
import { declare, type Routes } from './routes.ts';
import { writeHead } from './send.ts';

/** A route whose response goes on: server-sent events (WHATWG HTML §9.2). */
interface StreamRouteDefinition<Start> extends RouteAccess<object> {
  readonly method: 'get';
  /** Where to begin. @throws ServiceError for a Last-Event-ID that no stream has given */
  readonly start: (lastEventId: string | undefined) => Start;
  /** Takes a place among the streams; returns what gives it back. @throws ServiceError Overloaded */
  readonly enter: (context: RequestContext) => () => void;
  /** The lines to send, until `over` is aborted or there are no more; it may reject while there is no response yet. */
  readonly open: (
    start: Start,
    context: RequestContext,
    over: AbortSignal,
  ) => Promise<AsyncIterable<string>>;
  /** The process ends: streams give way. */
  readonly closing: AbortSignal;
  /** A stream has ended for a fault of ours. */
  readonly onFault: (error: unknown, requestId: string) => void;
}

/** A client that takes nothing for so long is gone. */
const STUCK_AFTER_MS = 30_000;
const HEAD = [
  ...['Content-Type', 'text/event-stream; charset=utf-8'],
  ...['Cache-Control', 'no-store'],
];

/** Adds a stream. It takes the same steps as any other route, and its record is durable before the first event. */
export function streamRoute<Start>(routes: Routes, definition: StreamRouteDefinition<Start>): void {
  const { services } = routes;
  declare(routes, definition, async (req, res) => {
    const { context } = await authorise(services, definition, req, res);
    const start = definition.start(req.get('last-event-id'));
    const record = () => services.auditLog.append(context.audit.finish({ status: 200 }));
    if (req.method === 'HEAD') {
      await record();
      writeHead(res, 200, HEAD);
      res.end();
      return;
    }
    // Before anything is waited for: of many that come at once no more get a place than there are.
    const leave = definition.enter(context);
    const gone = new AbortController();
    res.once('close', () => {
      gone.abort();
    });
    const over = AbortSignal.any([gone.signal, definition.closing]);
    try {
      const lines = await definition.open(start, context, over);
      await record();
      if (res.destroyed) return;
      writeHead(res, 200, HEAD);
      for await (const text of lines) await write(res, text, over);
    } catch (error) {
      if (!res.headersSent) throw error;
      // What else ends a stream than its client, the end of the process and the end of the client's access is a fault of
      // ours. In any case the client may come back with its Last-Event-ID.
      if (over.aborted || isAccessOver(error)) return;
      definition.onFault(error, context.requestId);
      const fault = {
        code: 'StreamFailed',
        message: `The stream has failed. (Activity ID: ${context.requestId})`,
      };
      res.write(`event: fault\ndata: ${JSON.stringify(fault)}\n\n`);
    } finally {
      leave();
      if (res.headersSent) res.end();
    }
  });
}

function isAccessOver(error: unknown): boolean {
  return error instanceof ServiceError && error.code === 'Unauthenticated';
}

/** Waits until the client has taken it. Rejects once `over` is aborted, as it is when a stuck client's connection is cut. */
async function write(res: Response, text: string, over: AbortSignal): Promise<void> {
  if (res.write(text)) return;
  const stuck = setTimeout(() => res.destroy(), STUCK_AFTER_MS);
  try {
    await once(res, 'drain', { signal: over });
  } finally {
    clearTimeout(stuck);
  }
}
