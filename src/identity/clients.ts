import { type Application, hintOf, type PasswordCredential } from '../core/directory.ts';
import { type Clock, type DirectoryStore, type SecretHasher } from '../core/ports.ts';
import { type VerifyAssertion } from './client-assertion.ts';
import { type GuessLimit } from './guess-limit.ts';
import { Refusal } from './refusal.ts';
import { type TokenSubject } from './tokens.ts';

/** What a client brings to prove that it is this application. */
type ClientProof =
  | { readonly kind: 'secret'; readonly secret: string }
  | { readonly kind: 'assertion'; readonly assertion: string };

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
  readonly hasher: SecretHasher;
  readonly verifyAssertion: VerifyAssertion;
  readonly guesses: GuessLimit;
  readonly clock: Clock;
}

/** @throws Refusal unless the client is an application with an enabled service principal */
export type AuthenticateClient = (
  client: NamedClient,
  /** Where the client's connection comes from. */
  address: string,
) => Promise<TokenSubject>;

/** Applications of the built-in directory, by a secret or an assertion. Those who guess are slowed down. */
export function createClientAuthenticator(parts: ClientAuthenticatorParts): AuthenticateClient {
  const { directory, hasher, verifyAssertion, guesses, clock } = parts;
  // Checked in place of a secret that isn't there, so that unknown clients cost what known ones do.
  const decoy = hasher.hash('no client has this secret');
  decoy.catch(() => undefined);

  async function checkSecret(application: Application | undefined, secret: string) {
    const passwords =
      application === undefined ? [] : await directory.listPasswords(application.id);
    const matching = await findMatching(passwords, secret);
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

  async function findMatching(
    passwords: readonly PasswordCredential[],
    secret: string,
  ): Promise<PasswordCredential | undefined> {
    // The hint rules out all but one of several secrets; where none is left, the decoy costs what one would have.
    const candidates = passwords.filter(({ hint }) => hintOf(secret) === hint);
    if (candidates.length === 0) await hasher.verify(secret, await decoy);
    for (const password of candidates)
      if (await hasher.verify(secret, password.hash)) return password;
    return undefined;
  }

  async function prove(
    application: Application | undefined,
    proof: ClientProof,
  ): Promise<TokenSubject['method']> {
    return proof.kind === 'secret'
      ? checkSecret(application, proof.secret)
      : checkAssertion(application, proof.assertion);
  }

  return async ({ clientId, proof }, address) => {
    const appId = clientId.toLowerCase();
    await guesses.require(appId, address);
    const application = await directory.findApplication({ appId });
    let method: TokenSubject['method'];
    try {
      method = await prove(application, proof);
    } catch (error) {
      if (error instanceof Refusal) await guesses.failed(appId, address);
      throw error;
    }
    if (application === undefined) throw wrongClient();
    guesses.succeeded(appId, address);
    const principal = await directory.findServicePrincipal({ appId });
    if (principal?.enabled !== true)
      throw new Refusal(
        400,
        'unauthorized_client',
        7000112,
        'The application has no enabled service principal.',
      );
    return { application, principal, method };
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
