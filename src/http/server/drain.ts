import type { Server as HttpServer, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import { Server as NetServer } from 'node:net';
import { every } from '../../core/repeating.ts';

/** How long a server that is to end bears with its clients. Milliseconds. */
export interface Patience {
  /** Connections on which nobody has asked anything since then are cut; where absent, their own keep-alive time ends them. */
  readonly idleMs?: number;
  /** What is left after that is cut, whatever goes on there. */
  readonly limitMs: number;
}

/**
 * Takes no new connection, and answers what comes on those that there are with `Connection: close`, so that clients give
 * them up by themselves: a connection that the server closes while it seems idle may have a request on its way, and no
 * client may repeat that by itself (RFC 9112 §9.3.1). Hence not http.Server.close(), which cuts idle ones at once.
 * A second call makes haste: the shorter times hold. Resolves when no connection is left.
 */
export function drain(server: Server | HttpServer, { idleMs, limitMs }: Patience): Promise<void> {
  server.prependListener('request', (_request: unknown, response: ServerResponse) => {
    response.shouldKeepAlive = false;
  });
  const cutIdle =
    idleMs === undefined
      ? undefined
      : every(
          idleMs,
          () => {
            server.closeIdleConnections();
          },
          () => undefined,
        );
  const cut = setTimeout(() => {
    server.closeAllConnections();
  }, limitMs);
  return new Promise((resolve) => {
    NetServer.prototype.close.call(server, () => {
      clearInterval(cutIdle);
      clearTimeout(cut);
      resolve();
    });
  });
}
