import { lookup } from 'node:dns';
import { Agent as PlainAgent } from 'node:http';
import { Agent } from 'node:https';
import { type LookupFunction, Socket } from 'node:net';
import { rootCertificates } from 'node:tls';
import { addressOf, isPublicAddress } from './addresses.ts';
import { type AnswerBounds, boundAnswers } from './answer-bounds.ts';
import { lookupPublic, notPublic } from './public-lookup.ts';

export interface OneHostOptions {
  /** With the scheme, and the port where it isn't the scheme's own: `https://account.blob.core.windows.net`. */
  readonly origin: string;
  /** Whether the host may be at no address but public ones: where no operator has named it. */
  readonly onlyPublic: boolean;
  /** PEM of certificate authorities that are trusted besides the public ones. */
  readonly extraCa?: string | undefined;
  /** Of a connection that somebody waits for: after that long without a byte it is given up. */
  readonly idleMs: number;
  readonly connections: number;
  readonly answers: AnswerBounds;
}

/**
 * Connects to one host and no other, whatever a client library is told by a redirect or an answer: the promise is kept where
 * sockets are made. Each socket belongs to a request or is closed within `idleMs`.
 */
export function createOneHostAgent(options: OneHostOptions): Agent | PlainAgent {
  const { origin, onlyPublic, extraCa, idleMs, connections, answers } = options;
  const { protocol, hostname, port } = new URL(origin);
  const isPlain = protocol === 'http:';
  const defaultPort = isPlain ? 80 : 443;
  const host = hostname.replace(/^\[|\]$/g, '');
  const address = addressOf(host);
  const common = {
    keepAlive: true,
    maxSockets: connections,
    timeout: idleMs,
    lookup: onlyPublic ? lookupPublic : lookupOwn,
    ...(extraCa !== undefined && { ca: [...rootCertificates, extraCa] }),
  };
  const agent = isPlain ? new PlainAgent(common) : new Agent(common);
  boundAnswers(agent, answers);
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (target, ...more) => {
    const asked = `${target.host ?? ''}:${String(target.port ?? defaultPort)}`;
    if (asked !== `${host}:${port === '' ? String(defaultPort) : port}`)
      throw new Error(`${asked} is another host than ${origin}`);
    // Node asks no resolver about an address.
    if (onlyPublic && address !== undefined && !isPublicAddress(address)) throw notPublic(host);
    const socket = connect(target, ...more);
    if (socket instanceof Socket) endIdle(socket, origin);
    return socket;
  };
  return agent;
}

function endIdle(socket: Socket, origin: string): void {
  socket.on('timeout', () => {
    socket.destroy(
      Object.assign(new Error(`${origin} has said nothing for long`), { code: 'ETIMEDOUT' }),
    );
  });
}

/** Names below localhost are this machine (RFC 6761 §6.3), which not every resolver knows. */
const lookupOwn: LookupFunction = (hostname, options, callback) => {
  const name = /(?:^|\.)localhost\.?$/i.test(hostname) ? 'localhost' : hostname;
  lookup(name, options, callback);
};
