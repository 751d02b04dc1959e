import { expect, test } from '@jest/globals';
import { exportJWK, SignJWT } from 'jose';
import { createAuthenticator } from '../../../src/identity/tokens/authenticate.ts';
import { FakeChangeFeed } from '../../support/fakes/change-feed.ts';
import { FakeClock } from '../../support/fakes/clock.ts';
import { rsaKeyPair } from '../../support/rsa-keys.ts';

const TENANT = '5d4f7d6a-58a4-4f2e-8f0b-2f2d5b1c9e77';
const PRINCIPAL = '11111111-1111-4111-8111-111111111111';
const KEY_ID = 'a'.repeat(32);
const { publicKey, privateKey } = rsaKeyPair(2048);

/** A key set that, unlike ours, leaves open what its key is for: the authenticator's own list must hold alone. */
async function authenticator(clock: FakeClock) {
  const jwk = { ...(await exportJWK(publicKey)), kid: KEY_ID };
  return createAuthenticator({
    issuer: 'https://issuer.test',
    tenantId: TENANT,
    keySet: () => Promise.resolve({ keys: [jwk] }),
    isAudience: () => true,
    principals: {
      findOwnIds: () => Promise.resolve([]),
      findPrincipal: () =>
        Promise.resolve({ id: PRINCIPAL, displayName: 'client', enabled: true, groups: [] }),
    },
    feed: new FakeChangeFeed(),
    clock,
    remembered: 10,
  });
}

test.each([
  ['RS256', 'accepted'],
  ['RS384', 'Unauthenticated'],
  ['RS512', 'Unauthenticated'],
  ['PS256', 'Unauthenticated'],
  ['PS512', 'Unauthenticated'],
])('a token that the right key signed with %s is %s', async (alg, expected) => {
  const clock = new FakeClock('2026-05-01T12:00:00Z');
  const token = await new SignJWT({ oid: PRINCIPAL, tid: TENANT })
    .setProtectedHeader({ alg, typ: 'JWT', kid: KEY_ID })
    .setIssuer('https://issuer.test')
    .setAudience('https://strongroom.test')
    .setIssuedAt(clock.now())
    .setExpirationTime(clock.seconds + 60)
    .sign(privateKey);
  const authenticate = await authenticator(clock);
  const outcome = await authenticate(`Bearer ${token}`, {
    audience: 'pool',
    thumbprint: () => undefined,
  }).then(
    () => 'accepted',
    (error: unknown) => (error as { code?: unknown }).code,
  );
  expect(outcome).toBe(expected);
});
