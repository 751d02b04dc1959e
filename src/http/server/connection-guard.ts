import type { ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** What is known of a connection. */
interface Connection {
  readonly name: string;
  readonly socket: Socket;
  readonly address: string;
  /** Whether it has ever asked anything: before, its client has shown nothing but that it can connect. */
  hasAsked: boolean;
  underWay: number;
  /** One of its responses is over: one function for all of them, since each request passes here. */
  readonly onClose: () => void;
}

/** Part of the places beyond which those that were taken for nothing are given to others. */
const FULL = 0.75;

/**
 * Keeps a listener's connections below `most`, and a place for whoever comes: where nearly all are taken, the one that has
 * waited longest without having asked anything goes (half-open ones are that), else one on which nothing is under way of
 * the address that has the most. A client that is at work loses none.
 */
export function guardConnections(server: Server, most: number): void {
  server.maxConnections = most;
  const full = Math.floor(most * FULL);
  /** In the order in which they came. */
  const connections = new Map<string, Connection>();
  const byTls = new WeakMap<TLSSocket, Connection>();
  const silent = new Set<Connection>();
  const byAddress = new Map<string, Set<Connection>>();

  function makeRoom(): void {
    const [longest] = silent;
    const giving = longest ?? idleOfLargest();
    if (giving === undefined) return;
    // It closes a moment later; until then it must not be chosen again.
    forget(giving);
    giving.socket.destroy();
  }

  function idleOfLargest(): Connection | undefined {
    let largest: ReadonlySet<Connection> = new Set();
    for (const theirs of byAddress.values()) if (theirs.size > largest.size) largest = theirs;
    for (const connection of largest) if (connection.underWay === 0) return connection;
    return undefined;
  }

  function forget(connection: Connection): void {
    silent.delete(connection);
    const theirs = byAddress.get(connection.address);
    theirs?.delete(connection);
    if (theirs?.size === 0) byAddress.delete(connection.address);
    if (connections.get(connection.name) === connection) connections.delete(connection.name);
  }

  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    const name = nameOf(socket);
    const connection: Connection = {
      name,
      socket,
      address,
      hasAsked: false,
      underWay: 0,
      onClose: () => {
        connection.underWay -= 1;
      },
    };
    connections.set(name, connection);
    silent.add(connection);
    const theirs = byAddress.get(address) ?? new Set();
    byAddress.set(address, theirs.add(connection));
    socket.once('close', () => {
      forget(connection);
    });
    if (connections.size > full) makeRoom();
  });
  server.on('secureConnection', (socket) => {
    const connection = connections.get(nameOf(socket));
    if (connection !== undefined) byTls.set(socket, connection);
  });
  server.on('request', ({ socket }: { socket: TLSSocket }, response: ServerResponse) => {
    const connection = byTls.get(socket);
    if (connection === undefined) return;
    if (!connection.hasAsked) {
      connection.hasAsked = true;
      silent.delete(connection);
    }
    connection.underWay += 1;
    response.on('close', connection.onClose);
  });
}

/** The same for the TLS connection and for the one that it runs over: Node doesn't say which belong together. */
function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? ''} ${remotePort ?? 0}`;
}
