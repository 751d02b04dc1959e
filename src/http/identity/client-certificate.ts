import { createHash } from 'node:crypto';
import type { Request } from 'express';
import { TLSSocket } from 'node:tls';

/**
 * The certificate whose key the client has proved on this connection, as RFC 8705 §3.1 names it: SHA-256 of its DER, in
 * base64url. Undefined where the client has shown none. Whose it is, and whether it is still good, is asked of the
 * directory: no authority is believed for it.
 */
export function clientThumbprint(req: Request): string | undefined {
  if (!(req.socket instanceof TLSSocket)) return undefined;
  const certificate = req.socket.getPeerX509Certificate();
  return certificate && createHash('sha256').update(certificate.raw).digest('base64url');
}
