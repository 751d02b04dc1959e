import { type KeyObject, randomUUID } from 'node:crypto';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { SignJWT } from 'jose';
import { makeAuthority, makeServerIdentity } from '../../src/setup/trust/certificates.ts';
import { rsaKeyPair } from './rsa-keys.ts';

/** What stands in for a real attestation service: OpenID metadata and keys over HTTPS, by a private CA. */
export interface AttestationAuthority {
  /** https://localhost:port */
  readonly url: string;
  /** PEM of its certificate authority. */
  readonly ca: string;
  /** Paths that were asked for, oldest first. */
  readonly requests: readonly string[];
  /** Answers a path in another way than it would. */
  answer(path: string, body: unknown, status?: number): void;
  /** A token of its own, RS256, good for five minutes; `claims` over the usual ones. */
  attest(
    claims: Readonly<Record<string, unknown>>,
    header?: Readonly<Record<string, unknown>>,
  ): Promise<string>;
  /** From now on it signs with another key, and publishes that one too. */
  rotate(): void;
  close(): Promise<void>;
}

export const METADATA = '/.well-known/openid-configuration';

/** The environment: an RSA key that never leaves it. */
export interface Environment {
  readonly privateKey: KeyObject;
  /** The claim that authorities make of it. */
  readonly runtime: { readonly keys: readonly Readonly<Record<string, unknown>>[] };
}

export function makeEnvironment(modulusLength = 2048): Environment {
  const { publicKey, privateKey } = rsaKeyPair(modulusLength);
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'environment-key' };
  return { privateKey, runtime: { keys: [{ ...jwk, key_ops: ['encrypt'] }] } };
}

export async function startAttestationAuthority(): Promise<AttestationAuthority> {
  const now = new Date();
  const root = await makeAuthority('Attestation test root', now);
  const identity = await makeServerIdentity(root, ['localhost', '127.0.0.1'], now);
  const requests: string[] = [];
  const answers = new Map<string, { status: number; body: unknown }>();
  const published: object[] = [];
  let signing: { kid: string; key: KeyObject };

  const server = createServer(
    { cert: identity.certificate, key: identity.privateKey },
    (request, response) => {
      const path = request.url ?? '';
      requests.push(path);
      const { status, body } = answers.get(path) ?? { status: 404, body: {} };
      if (status >= 300 && status < 400) response.setHeader('Location', String(body));
      response.statusCode = status;
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    },
  );
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;

  function rotate(): void {
    const { publicKey, privateKey } = rsaKeyPair(2048);
    signing = { kid: randomUUID(), key: privateKey };
    published.push({ ...publicKey.export({ format: 'jwk' }), kid: signing.kid });
    answers.set('/certs', { status: 200, body: { keys: published } });
  }
  rotate();
  answers.set(METADATA, { status: 200, body: { issuer: url, jwks_uri: `${url}/certs` } });

  return {
    url,
    ca: root.certificate,
    requests,
    rotate,
    answer(path, body, status = 200) {
      answers.set(path, { status, body });
    },
    attest: (claims, header = {}) => {
      const seconds = Math.floor(Date.now() / 1000);
      return new SignJWT({ iss: url, iat: seconds, nbf: seconds, exp: seconds + 300, ...claims })
        .setProtectedHeader({ alg: 'RS256', kid: signing.kid, jku: `${url}/certs`, ...header })
        .sign(signing.key);
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => {
          resolve();
        });
      }),
  };
}
