import { once } from 'node:events';
import { request } from 'node:https';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface Balancer {
  /** On localhost. */
  readonly port: number;
  /** No new connection goes there; those that there are stay. It is asked again once it has been away. */
  drain(port: number): void;
  close(): Promise<void>;
}

const CHECK_EVERY_MS = 100;

/**
 * A load balancer as it stands before replicas: it passes TCP through, in turn to those whose `/readyz` says 200, and to the
 * next one where a connection is refused. It never sends anything twice.
 */
export async function openBalancer(
  ports: readonly number[],
  { ca }: { readonly ca: string },
): Promise<Balancer> {
  const ready = new Set<number>();
  const draining = new Set<number>();
  const sockets = new Set<Socket>();
  let isOver = false;
  let turn = 0;

  const isReady = (port: number) =>
    new Promise<boolean>((resolve) => {
      const asked = request(
        { host: 'localhost', port, ca, path: '/readyz', agent: false, timeout: 2_000 },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode === 200);
        },
      );
      asked
        .on('timeout', () => asked.destroy())
        .on('error', () => {
          resolve(false);
        });
      asked.end();
    });
  async function watch(port: number): Promise<void> {
    while (!isOver) {
      if (await isReady(port)) ready.add(port);
      else {
        ready.delete(port);
        draining.delete(port);
      }
      await delay(CHECK_EVERY_MS);
    }
  }

  async function open(): Promise<Socket | undefined> {
    const able = ports.filter((port) => ready.has(port) && !draining.has(port));
    turn += 1;
    const first = turn % Math.max(1, able.length);
    for (const port of [...able.slice(first), ...able.slice(0, first)]) {
      const socket = connect({ host: '127.0.0.1', port });
      const isOpen = await Promise.race([
        once(socket, 'connect').then(() => true),
        once(socket, 'error').then(() => false),
      ]).catch(() => false);
      if (isOpen) return socket;
    }
    return undefined;
  }

  const server = createServer({ pauseOnConnect: true, noDelay: true }, (client) => {
    void open().then((service) => {
      if (service === undefined) {
        client.destroy();
        return;
      }
      for (const [one, other] of [
        [client, service],
        [service, client],
      ] as const) {
        sockets.add(one);
        one
          .on('error', () => other.destroy())
          .on('close', () => {
            sockets.delete(one);
            other.destroy();
          });
        one.pipe(other);
      }
      client.resume();
    });
  });
  server.listen(0, 'localhost');
  await once(server, 'listening');
  const watches = ports.map(watch);
  return {
    port: (server.address() as AddressInfo).port,
    drain: (port) => {
      draining.add(port);
    },
    async close() {
      isOver = true;
      for (const socket of sockets) socket.destroy();
      server.close();
      await Promise.all(watches);
    },
  };
}
