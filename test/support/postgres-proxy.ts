import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SOCKET = '.s.PGSQL.5432';

export interface PostgresProxy {
  /** Of the same database, by way of the proxy. */
  readonly url: string;
  /** Connections that are open now. */
  readonly connections: () => number;
  /** Connections that there have been. */
  readonly accepted: () => number;
  /** The network swallows everything, in both directions, and closes nothing. */
  swallow(isSwallowed: boolean): void;
  /** Each message to the server takes so long. */
  slowDown(milliseconds: number): void;
  /** What the server says on connections that listen arrives so much later, in its order. */
  delayFeed(milliseconds: number): void;
  /** The next COMMIT arrives; its answer doesn't, and the connection breaks. */
  loseNextCommit(): void;
  close(): Promise<void>;
}

/** A network between the service and PostgreSQL's Unix socket that fails as networks do. */
export async function openPostgresProxy(url: string): Promise<PostgresProxy> {
  const [, encoded = ''] = /host=([^&]+)/.exec(url) ?? [];
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-proxy-'));
  const open = new Set<Socket>();
  let isSwallowed = false;
  let accepted = 0;
  let slowness = 0;
  let losesCommit = false;
  let feedDelay = 0;

  const server = createServer((client) => {
    const upstream = connect(join(decodeURIComponent(encoded), SOCKET));
    let isDeaf = false;
    let isFeed = false;
    open.add(client);
    accepted += 1;
    client.on('data', (bytes) => {
      if (isSwallowed) return;
      if (bytes.includes('listen strongroom')) isFeed = true;
      if (losesCommit && bytes.includes('commit')) {
        losesCommit = false;
        isDeaf = true;
        setTimeout(() => client.destroy(), 200);
      }
      if (slowness === 0) upstream.write(bytes);
      else setTimeout(() => upstream.writable && upstream.write(bytes), slowness);
    });
    upstream.on('data', (bytes) => {
      if (isSwallowed || isDeaf) return;
      if (!isFeed || feedDelay === 0) client.write(bytes);
      else setTimeout(() => client.writable && client.write(bytes), feedDelay);
    });
    const end = () => {
      open.delete(client);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
  });
  await new Promise<void>((resolve) => {
    server.listen(join(folder, SOCKET), resolve);
  });
  return {
    url: url.replace(encoded, encodeURIComponent(folder)),
    connections: () => open.size,
    accepted: () => accepted,
    swallow: (now) => {
      isSwallowed = now;
    },
    slowDown: (milliseconds) => {
      slowness = milliseconds;
    },
    delayFeed: (milliseconds) => {
      feedDelay = milliseconds;
    },
    loseNextCommit: () => {
      losesCommit = true;
    },
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true, force: true });
    },
  };
}
