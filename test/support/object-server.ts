import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Fault, ObjectRequest, ObjectResponse } from './object-request.ts';

export interface ObjectServer {
  /** `http://127.0.0.1:port`. */
  readonly origin: string;
  /** What is there, by container or bucket and name. */
  readonly objects: ReadonlyMap<string, Buffer>;
  /** Of each request the method and the target. */
  readonly requests: readonly string[];
  /** From now on. */
  fail(fault: Fault | undefined): void;
  /** Ends all of them, those without an answer too. */
  dropConnections(): void;
  close(): Promise<void>;
}

/** An HTTP server in front of a map of objects, in the dialect of Azure Blob or S3. */
export async function startObjectServer(
  answer: (request: ObjectRequest, objects: Map<string, Buffer>) => ObjectResponse,
): Promise<ObjectServer> {
  const objects = new Map<string, Buffer>();
  const requests: string[] = [];
  let fault: Fault | undefined;

  async function serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    requests.push(`${incoming.method ?? ''} ${incoming.url ?? ''}`);
    const request = await read(incoming);
    const failing = fault?.(request);
    if (failing === 'hang') return;
    if (failing === 'reset') {
      incoming.socket.destroy();
      return;
    }
    const isCut = failing === 'cut';
    const response = typeof failing === 'object' ? failing : answer(request, objects);
    const body = Buffer.from(response.body ?? '');
    outgoing.writeHead(response.status, {
      'content-length': body.length,
      ...response.headers,
    });
    if (isCut) {
      outgoing.write(body.subarray(0, Math.floor(body.length / 2)), () => {
        incoming.socket.destroy();
      });
      return;
    }
    outgoing.end(request.method === 'HEAD' ? '' : body);
  }

  const server = createServer((incoming, outgoing) => {
    serve(incoming, outgoing).catch(() => incoming.socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    objects,
    requests,
    fail(next) {
      fault = next;
    },
    dropConnections: () => {
      server.closeAllConnections();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

async function read(incoming: IncomingMessage): Promise<ObjectRequest> {
  const pieces: Buffer[] = [];
  for await (const piece of incoming) pieces.push(piece as Buffer);
  const url = new URL(incoming.url ?? '', 'http://server');
  const [container = '', ...rest] = decodeURIComponent(url.pathname).slice(1).split('/');
  return {
    method: incoming.method ?? '',
    container,
    name: rest.join('/'),
    query: url.searchParams,
    header: (name) => {
      const value = incoming.headers[name];
      return typeof value === 'string' ? value : undefined;
    },
    body: Buffer.concat(pieces),
  };
}
