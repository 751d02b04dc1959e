import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import {
  type Application,
  hintOf,
  type PasswordCredential,
} from '../../core/directory/directory.ts';
import { placeOf } from '../../core/address-place.ts';
import type { CredentialStore } from '../../core/directory/ports.ts';
import type { Clock } from '../../core/clock.ts';
import type { DirectoryStore, HashingTicket, SecretHasher } from '../../core/directory/ports.ts';
import type { VerifyAssertion } from './client-assertion.ts';
import type { SignInThrottle } from './sign-in-throttle.ts';
import { Refusal } from '../refusal.ts';
import type { TokenSubject } from '../tokens/tokens.ts';

/** What a client brings to prove that it is this application. */
type ClientProof =
  | { readonly kind: 'secret'; readonly secret: string }
  | { readonly kind: 'assertion'; readonly assertion: string }
  /** The TLS connection's certificate, whose key the client has proved: RFC 8705 §3.1's `x5t#S256`. */
  | { readonly kind: 'connection'; readonly thumbprint: string };

export interface NamedClient {
  /** The application's appId, as the client wrote it. */
  readonly clientId: string;
  readonly proof: ClientProof;
}

export interface ClientAuthenticatorParts {
  readonly directory: Pick<
    DirectoryStore,
    'findApplication' | 'findServicePrincipal' | 'listPasswords'
  >;
  readonly credentials: Pick<CredentialStore, 'listCertificates'>;
  readonly hasher: SecretHasher;
  readonly verifyAssertion: VerifyAssertion;
  readonly throttle: SignInThrottle;
  readonly clock: Clock;
}

/** Clients that have shown who they are in the last day. */
const PROVED = { max: 50_000, ttl: 24 * 60 * 60_000 };

/** @throws Refusal unless the client is an application with an enabled service principal */
export type AuthenticateClient = (
  client: NamedClient,
  /** Where the client's connection comes from. */
  address: string,
) => Promise<TokenSubject>;

/** Applications of the built-in directory, by a secret, an assertion or a client certificate. Sign-ins that fail are throttled. */
export function createClientAuthenticator(parts: ClientAuthenticatorParts): AuthenticateClient {
  const { directory, credentials, hasher, verifyAssertion, throttle, clock } = parts;
  // Checked in place of a secret that isn't there, so that unknown clients cost what known ones do.
  const decoy = hasher.hash('no client has this secret');
  decoy.catch(() => undefined);
  // Secrets that were right, as keyed digests under a key of this process. The wrong secrets of others don't keep out a
  // client that has one of these: it has nothing to guess. Whether its secret is still right is checked every time.
  const processKey = randomBytes(32);
  const proved = new LRUCache<string, true>(PROVED);

  async function checkSecret(
    application: Application | undefined,
    secret: string,
    ticket: HashingTicket,
  ) {
    const passwords =
      application === undefined ? [] : await directory.listPasswords(application.id);
    const matching = await findMatching(passwords, secret, ticket);
    if (matching === undefined) throw wrongClient();
    const now = clock.now();
    if (now < matching.startsAt || now >= matching.endsAt)
      throw new Refusal(
        401,
        'invalid_client',
        7000222,
        'The client secret is not valid at this time.',
      );
    return 'secret' as const;
  }

  async function checkAssertion(application: Application | undefined, assertion: string) {
    if (application === undefined) throw wrongClient();
    return verifyAssertion(application, assertion);
  }

  /** RFC 8705 §2.2: the certificate itself is registered, whoever has signed it. */
  async function checkConnection(application: Application | undefined, thumbprint: string) {
    if (application === undefined) throw wrongClient();
    const certificate = (await credentials.listCertificates(application.id)).find(
      (one) => Buffer.from(one.thumbprint).toString('base64url') === thumbprint,
    );
    const now = clock.now();
    if (certificate === undefined || now < certificate.startsAt || now >= certificate.endsAt)
      throw new Refusal(
        401,
        'invalid_client',
        700027,
        'The certificate of the connection is not registered, or not valid at this time.',
      );
    return 'certificate' as const;
  }

  async function findMatching(
    passwords: readonly PasswordCredential[],
    secret: string,
    ticket: HashingTicket,
  ): Promise<PasswordCredential | undefined> {
    // The hint rules out all but one of several secrets; where none is left, the decoy costs what one would have.
    const candidates = passwords.filter(({ hint }) => hintOf(secret) === hint);
    if (candidates.length === 0) await hasher.verify(secret, await decoy, ticket);
    for (const password of candidates)
      if (await hasher.verify(secret, password.hash, ticket)) return password;
    return undefined;
  }

  async function prove(
    application: Application | undefined,
    proof: ClientProof,
    ticket: HashingTicket,
  ): Promise<TokenSubject['method']> {
    switch (proof.kind) {
      case 'secret':
        return checkSecret(application, proof.secret, ticket);
      case 'assertion':
        return checkAssertion(application, proof.assertion);
      case 'connection':
        return checkConnection(application, proof.thumbprint);
    }
  }

  return async ({ clientId, proof }, address) => {
    const appId = clientId.toLowerCase();
    const mark =
      proof.kind === 'secret'
        ? createHmac('sha256', processKey).update(`${appId}\0${proof.secret}`).digest('base64')
        : undefined;
    const isProved = mark !== undefined && proved.has(mark);
    const requireFew = () => (isProved ? Promise.resolve() : throttle.require(appId, address));
    await requireFew();
    const application = await directory.findApplication({ appId });
    let method: TokenSubject['method'];
    try {
      // Checked again once the queue reaches it: of many wrong secrets sent at once, the first few reach the limit.
      const ticket: HashingTicket = {
        of: isProved ? appId : placeOf(address),
        class: isProved ? 'known' : 'stranger',
        begin: requireFew,
      };
      method = await prove(application, proof, ticket);
    } catch (error) {
      if (error instanceof Refusal && error.status !== 429) {
        if (mark !== undefined) proved.delete(mark);
        await throttle.failed(appId, address);
      }
      throw error;
    }
    if (application === undefined) throw wrongClient();
    await throttle.succeeded(appId, address);
    if (mark !== undefined) proved.set(mark, true);
    const principal = await directory.findServicePrincipal({ appId });
    if (principal?.enabled !== true)
      throw new Refusal(
        400,
        'unauthorized_client',
        7000112,
        'The application has no enabled service principal.',
      );
    return {
      application,
      principal,
      method,
      ...(proof.kind === 'connection' && { boundTo: proof.thumbprint }),
    };
  };
}

export function wrongClient(): Refusal {
  return new Refusal(
    401,
    'invalid_client',
    7000215,
    'The client is unknown or its secret is wrong.',
  );
}
