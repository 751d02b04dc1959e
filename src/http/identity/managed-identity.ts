import { randomUUID } from 'node:crypto';
import { createServer, type RequestListener, type Server } from 'node:http';
import express, { type Express, type Request, type RequestHandler } from 'express';
import { parseTarget } from '../../network/authority.ts';
import { declare, bareRoutes } from '../routes.ts';
import { createOwnHostCheck } from '../../network/own-host.ts';

/** What a workload asks, and from where. */
export interface IdentityCall {
  readonly requestId: string;
  /** X-IDENTITY-HEADER. */
  readonly header: string | undefined;
  readonly resource: string | undefined;
  readonly clientId: string | undefined;
  readonly address: string;
  readonly userAgent: string | undefined;
}

export interface IdentityResponse {
  readonly status: number;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface IdentityCalls {
  /** Rejects where there can be no response now: the workload is told to ask again. */
  respond(call: IdentityCall): Promise<IdentityResponse>;
  /** Hears of a call that wasn't made here by the workload itself. */
  passedOn?(call: IdentityCall): Promise<void>;
}

/**
 * App Service's identity endpoint (`GET /msi/token`), for workloads on this machine only. What another program on it was
 * talked into sending isn't answered: a request that was passed on, that a web page has made, or that calls this machine by
 * another name.
 */
export function createManagedIdentityApp(
  calls: IdentityCalls,
  onError: (error: unknown, requestId: string) => void,
): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.use(takeTarget);
  const declaration = {
    method: 'get',
    path: '/msi/token',
    operation: 'ManagedIdentityTokenIssue',
    action: 'public',
    key: null,
    keyMaterial: 'credential',
  } as const;
  declare(bareRoutes(app), declaration, async (req, res) => {
    const requestId = randomUUID();
    res.setHeader('x-ms-request-id', requestId);
    res.setHeader('Cache-Control', 'no-store');
    const call: IdentityCall = {
      requestId,
      header: req.get('x-identity-header'),
      resource: textOf(req.query['resource']),
      clientId: textOf(req.query['client_id']),
      address: req.socket.remoteAddress ?? '',
      userAgent: req.get('user-agent'),
    };
    try {
      if (isPassedOn(req)) {
        await calls.passedOn?.(call);
        res
          .status(403)
          .json({ statusCode: 403, message: 'Only programs on this machine may ask.' });
        return;
      }
      const { status, body, headers } = await calls.respond(call);
      res
        .status(status)
        .set(headers ?? {})
        .json(body);
    } catch (error) {
      onError(error, requestId);
      res.setHeader('Retry-After', '5');
      res.status(503).json({ statusCode: 503, message: 'There is no token to be had now.' });
    }
  });
  app.use((_req, res) => {
    res.status(404).json({ statusCode: 404, message: 'This is GET /msi/token.' });
  });
  return app;
}

/** Plain HTTP, for so many connections at most: it has to be told to listen, on a loopback address. */
export function createLoopbackServer(app: RequestListener, connections: number): Server {
  const server = createServer({ maxHeaderSize: 16_384, joinDuplicateHeaders: true }, app);
  server.headersTimeout = 10_000;
  server.requestTimeout = 10_000;
  server.maxConnections = connections;
  return server;
}

const isOwnHost = createOwnHostCheck({ listensOn: 'localhost' });

/** A web page that has its own name point here is refused before anything of its request is looked at. */
const takeTarget: RequestHandler = (req, res, next) => {
  const target = parseTarget(req.url, 'http');
  const isForUs = [target?.authority ?? req.headers.host, req.headers.host].every(isOwnHost);
  if (target === undefined || !isForUs) {
    res.status(400).json({ statusCode: 400, message: 'The request is for another host.' });
    return;
  }
  req.url = target.path;
  next();
};

/** By another program than the workload: a proxy, or a browser, which says so of what a page has it send (Fetch §3.2). */
function isPassedOn({ headers }: Request): boolean {
  return ['x-forwarded-for', 'forwarded', 'origin', 'sec-fetch-site'].some(
    (name) => headers[name] !== undefined,
  );
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
