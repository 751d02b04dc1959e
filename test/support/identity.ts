import { randomBytes, randomUUID } from 'node:crypto';
import { base64url, type JSONWebKeySet } from 'jose';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { byOperator } from '../../src/core/access/escalation-rules.ts';
import { AuditDraft } from '../../src/core/audit/draft.ts';
import { createDirectoryService } from '../../src/core/directory/directory-service.ts';
import { parseKeyVersionId } from '../../src/core/keys/key.ts';
import type { SecretHasher } from '../../src/core/directory/ports.ts';
import {
  createTokenSigningKeys,
  type TokenSigningKeys,
} from '../../src/core/directory/token-signing-keys.ts';
import { createAudienceCheck } from '../../src/identity/tokens/audiences.ts';
import { createAuthenticator } from '../../src/identity/tokens/authenticate.ts';
import { createSecretHasher, newClientSecret } from '../../src/identity/clients/client-secret.ts';
import { createClientAuthenticator } from '../../src/identity/clients/clients.ts';
import {
  createSignInThrottle,
  type NewCounter,
  SIGN_IN_LIMITS,
  type SignInLimits,
} from '../../src/identity/clients/sign-in-throttle.ts';
import { createTenantCheck, toKeySet } from '../../src/identity/endpoints/metadata.ts';
import { createTokenEndpoint } from '../../src/identity/endpoints/token-endpoint.ts';
import { createTokenIssuer, issuerOf } from '../../src/identity/tokens/tokens.ts';
import { FakeChangeFeed } from './fakes/change-feed.ts';
import { FakeClock } from './fakes/clock.ts';
import { FakeDirectoryStore } from './fakes/directory-store.ts';
import { createRsaHsm } from './fakes/rsa-hsm.ts';
import { FakeSigningKeyStore } from './fakes/token-signing-key-store.ts';

export const DOMAIN = 'strongroom.test';
export const RESOURCE = `https://${DOMAIN}:8443`;

export type Identity = Awaited<ReturnType<typeof createIdentity>>;

/** An RSA key takes long to make: the tests of a file share one. */
const sharedKey = makeSigningKeys();

/** Good for what is not about secrets: scrypt takes long, as it should. */
export const quickHasher: SecretHasher = {
  hash: (secret) => Promise.resolve(secret),
  verify: (secret, hash) => Promise.resolve(secret === hash),
};

/** The built-in directory over fakes of its ports, with one client that may sign in. */
export async function createIdentity(
  slow: SecretHasher = createSecretHasher(),
  guessLimits: SignInLimits = SIGN_IN_LIMITS,
) {
  const clock = new FakeClock('2026-05-01T12:00:00Z');
  const feed = new FakeChangeFeed();
  const store = new FakeDirectoryStore((change) => {
    feed.publish(change);
  });
  const tenantId = randomUUID();
  let secretsChecked = 0;
  const hasher: SecretHasher = {
    hash: (secret) => slow.hash(secret),
    verify: (secret, hash) => {
      secretsChecked += 1;
      return slow.verify(secret, hash);
    },
  };
  const signingKeys = await sharedKey;
  let keySetReads = 0;
  const keySet = async (sought?: string): Promise<JSONWebKeySet> => {
    keySetReads += 1;
    return toKeySet(await signingKeys.publicKeys(sought));
  };

  const directory = createDirectoryService({
    store,
    hasher,
    newGuid: randomUUID,
    newSecret: newClientSecret,
    clock,
  });
  const change = () =>
    byOperator(
      new AuditDraft(clock.now, { requestId: randomUUID(), operation: 'DirectoryChange' }),
    );
  const application = await directory.createApplication('client', change());
  const { secret, password } = await directory.addPassword(application.id, {}, change());
  const principal = await directory.createServicePrincipal(application.appId, change());

  const isAudience = createAudienceCheck(DOMAIN);
  const issuer = createTokenIssuer(signingKeys, { domain: DOMAIN, tenantId });
  return {
    clock,
    feed,
    store,
    directory,
    change,
    tenantId,
    application,
    principal,
    secret,
    password,
    signingKeys,
    keySet,
    counts: () => ({ secretsChecked, keySetReads }),

    token: createTokenEndpoint({
      tenants: createTenantCheck(tenantId),
      authenticateClient: createClientAuthenticator({
        directory: store,
        credentials: { listCertificates: () => Promise.resolve([]) },
        hasher,
        verifyAssertion: () => Promise.reject(new Error('no assertions here')),
        throttle: createSignInThrottle(guessLimits, newCounter),
        clock,
      }),
      isAudience,
      issuer,
      clock,
    }),
    authenticate: createAuthenticator({
      issuer: issuerOf(DOMAIN, tenantId),
      tenantId,
      keySet,
      isAudience,
      principals: store,
      feed,
      clock,
      remembered: 100,
    }),

    /** A token as the endpoint gives it to the client, for this resource. */
    issue: (audience: string = RESOURCE): Promise<string> =>
      issuer.issue({ application, principal, method: 'secret' }, audience, clock.now(), 3600),

    /** A token by the directory's own key, with whatever header and claims. Undefined leaves one out. */
    forge: async (
      changes: {
        readonly header?: Readonly<Record<string, unknown>>;
        readonly claims?: Readonly<Record<string, unknown>>;
      } = {},
    ): Promise<string> => {
      const kid = await signingKeys.currentKeyId();
      const header = { alg: 'RS256', kid, typ: 'JWT', ...changes.header };
      const claims = {
        aud: RESOURCE,
        iss: issuerOf(DOMAIN, tenantId),
        iat: clock.seconds,
        nbf: clock.seconds,
        exp: clock.seconds + 3600,
        appid: application.appId,
        oid: principal.id,
        sub: principal.id,
        tid: tenantId,
        ...changes.claims,
      };
      const signed = [header, claims].map((part) => base64url.encode(JSON.stringify(part)));
      const bytes = new TextEncoder().encode(signed.join('.'));
      return `${signed.join('.')}.${base64url.encode(await signingKeys.sign(kid, bytes))}`;
    },
  };
}

async function makeSigningKeys(): Promise<TokenSigningKeys> {
  const keys = createTokenSigningKeys({
    hsm: createRsaHsm(),
    store: new FakeSigningKeyStore(),
    poolId: randomUUID(),
    newVersionId: () => parseKeyVersionId(randomBytes(16).toString('hex')),
    rotateAfterDays: 30,
    feed: new FakeChangeFeed(),
    clock: { now: () => new Date() },
    steadyMs: () => performance.now(),
    onBroken: (keyId) => {
      throw new Error(`the seal of ${keyId} is broken`);
    },
  });
  const requestId = randomUUID();
  await keys.ensure(new AuditDraft(() => new Date(), { requestId, operation: 'Test' }));
  return keys;
}

/** Of one process. */
export const newCounter: NewCounter = ({ name, points, durationSeconds: duration }) =>
  new RateLimiterMemory({ keyPrefix: name, points, duration });
