import { get as getPlain, type IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { rootCertificates } from 'node:tls';
import { addressOf, isPublicAddress } from './addresses.ts';
import { lookupPublic, notPublic } from './public-lookup.ts';

export interface FetchJsonOptions {
  /** PEM of certificate authorities that are trusted besides the public ones. */
  readonly extraCa?: string;
  /** Whether a server on this machine may be asked without TLS. */
  readonly allowsLoopback?: boolean;
  /** For the whole answer. */
  readonly deadlineMs: number;
  readonly sizeLimit: number;
}

interface FetchJsonCall {
  /** Whether the server must be at a public address, and asked by TLS: for URLs that no operator has named. */
  readonly onlyPublic?: boolean;
}

/** Reads a JSON document from the network. Rejects where it can't, in bounded time. */
export type FetchJson = (url: string, call?: FetchJsonCall) => Promise<unknown>;

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

/**
 * Gets a JSON document over HTTPS: the server's certificate is checked, redirects are not followed (whoever may answer is
 * the one who is asked), and neither a slow nor a large answer is waited for.
 * @throws Error when there is no such answer
 */
export function createFetchJson(options: FetchJsonOptions): FetchJson {
  const { extraCa, allowsLoopback = false, deadlineMs, sizeLimit } = options;
  const trust = extraCa === undefined ? {} : { ca: [...rootCertificates, extraCa] };

  function open(url: string, onlyPublic: boolean, receive: (answer: IncomingMessage) => void) {
    const { protocol, hostname } = new URL(url);
    const headers = { accept: 'application/json' };
    const signal = AbortSignal.timeout(deadlineMs);
    // An agent would keep connections, and pass over what is asked of the certificate on those that it has.
    const common = { agent: false, signal, headers } as const;
    if (protocol === 'https:') {
      const address = addressOf(hostname);
      // Node asks no resolver about an address.
      if (onlyPublic && address !== undefined && !isPublicAddress(address))
        throw notPublic(hostname);
      const resolving = onlyPublic ? { lookup: lookupPublic } : {};
      return get(url, { ...common, ...trust, ...resolving, rejectUnauthorized: true }, receive);
    }
    if (protocol === 'http:' && allowsLoopback && !onlyPublic && LOOPBACK.includes(hostname))
      return getPlain(url, common, receive);
    throw new Error(`${url} is neither https nor on this machine`);
  }

  return (url, { onlyPublic = false } = {}) =>
    new Promise((resolve, reject) => {
      const request = open(url, onlyPublic, (answer) => {
        const parts: Buffer[] = [];
        let size = 0;
        if (answer.statusCode !== 200)
          request.destroy(new Error(`${url} answered ${String(answer.statusCode)}`));
        answer.on('data', (part: Buffer) => {
          size += part.length;
          if (size > sizeLimit) request.destroy(new Error(`the answer of ${url} is too large`));
          else parts.push(part);
        });
        answer.on('error', reject);
        answer.on('aborted', () => {
          reject(new Error('the answer was cut off'));
        });
        answer.on('end', () => {
          try {
            resolve(JSON.parse(Buffer.concat(parts).toString('utf8')));
          } catch (error) {
            reject(error instanceof Error ? error : new Error('not JSON'));
          }
        });
      });
      request.on('error', reject);
    });
}
