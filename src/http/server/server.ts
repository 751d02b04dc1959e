import { constants } from 'node:crypto';
import { IncomingMessage, type RequestListener, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import { createSecureContext } from 'node:tls';
import type { Express } from 'express';

export interface TlsFiles {
  /** PEM, the server's certificate first. */
  readonly certificate: string;
  readonly privateKey: string;
}

/** Forward secrecy only: ephemeral ECDH with authenticated encryption, and all of TLS 1.3 (RFC 9325 §4.2). */
const CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
].join(':');

/**
 * Elliptic curves, and the post-quantum hybrid where OpenSSL has it (3.5): by default TLS 1.3 would take finite fields too,
 * of which one handshake of the largest costs what hundreds of others do.
 */
const GROUPS = ['X25519MLKEM768', 'X25519', 'P-256', 'P-384', 'P-521'].filter(isKnown).join(':');

function isKnown(group: string): boolean {
  try {
    createSecureContext({ ecdhCurve: group });
    return true;
  } catch {
    return false;
  }
}

/** The HTTPS listener; it has to be told to listen. `messages` are what it makes for `app`: Node's own where absent. */
export function createHttpsServer(
  app: RequestListener,
  tls: TlsFiles,
  messages: Partial<ReturnType<typeof messagesOf>> = {},
): Server {
  const server = createServer(
    {
      ...messages,
      cert: tls.certificate,
      key: tls.privateKey,
      minVersion: 'TLSv1.2',
      ciphers: CIPHERS,
      ecdhCurve: GROUPS,
      honorCipherOrder: true,
      // Asked for, never demanded: a certificate is one way to sign in (RFC 8705), and no authority vouches for it.
      requestCert: true,
      rejectUnauthorized: false,
      // A client that asks for it again and again has the server do the dearer half of the work.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      handshakeTimeout: 10_000,
      maxHeaderSize: 32_768,
      // Of two Host or Authorization headers Node would keep the first: joined, they are no valid ones.
      joinDuplicateHeaders: true,
    },
    app,
  );
  // A new TLS connection costs more than an operation: clients may keep theirs, longer than their own pools do.
  server.keepAliveTimeout = 120_000;
  server.headersTimeout = 20_000;
  server.requestTimeout = 30_000;
  // Node would answer 417 by itself, and without a record. A server may pass over what it doesn't know (RFC 9110 §10.1.1).
  server.on('checkExpectation', app);
  server.on('connect', refuseTunnel);
  return server;
}

const TUNNEL = JSON.stringify({
  error: { code: 'MethodNotAllowed', message: 'This is no proxy: CONNECT is not served.' },
});
const NO_TUNNEL = [
  'HTTP/1.1 405 Method Not Allowed',
  'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
  'Connection: close',
  'Content-Type: application/json; charset=utf-8',
  `Content-Length: ${String(TUNNEL.length)}`,
].join('\r\n');

/** CONNECT (RFC 9110 §9.3.6): Node closes such a connection without a word where nobody listens for it. */
function refuseTunnel(_req: IncomingMessage, socket: Duplex): void {
  socket.on('error', () => socket.destroy());
  socket.end(`${NO_TUNNEL}\r\n\r\n${TUNNEL}`);
}

/**
 * Requests and responses that are born as Express's own. It makes them so anyway, by giving each another prototype, after
 * which the engine takes every property that is set on one for a surprise: that costs a fifth of what Express does.
 */
export function messagesOf(app: Express) {
  class ExpressRequest extends IncomingMessage {}
  class ExpressResponse extends ServerResponse<ExpressRequest> {}
  app.request = Object.setPrototypeOf(ExpressRequest.prototype, app.request) as Express['request'];
  app.response = Object.setPrototypeOf(
    ExpressResponse.prototype,
    app.response,
  ) as Express['response'];
  return { IncomingMessage: ExpressRequest, ServerResponse: ExpressResponse };
}

/** Another application takes what a listener makes for the first. */
export function useMessagesOf(first: Express, other: Express): void {
  other.request = first.request;
  other.response = first.response;
}
