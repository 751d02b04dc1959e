import { describe, expect, test } from '@jest/globals';
import { createSignInThrottle } from '../../../src/identity/clients/sign-in-throttle.ts';
import { Refusal } from '../../../src/identity/refusal.ts';
import { createIdentity, newCounter, quickHasher, RESOURCE } from '../../support/identity.ts';

const LIMITS = { perPair: 3, perAddress: 6, perApplication: 9 };
const HERE = '192.0.2.1';

async function fail(
  throttle: ReturnType<typeof createSignInThrottle>,
  times: number,
  appId: string,
  address = HERE,
): Promise<void> {
  for (let tries = 0; tries < times; tries += 1) await throttle.failed(appId, address);
}

describe('refused credentials', () => {
  test('of one application from one address are looked at up to the limit', async () => {
    const throttle = createSignInThrottle(LIMITS, newCounter);
    await fail(throttle, 2, 'a');
    await expect(throttle.require('a', HERE)).resolves.toBeUndefined();
    await fail(throttle, 1, 'a');
    const refused = await throttle.require('a', HERE).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Refusal);
    expect(refused).toMatchObject({ status: 429, error: 'temporarily_unavailable' });
    const { 'Retry-After': seconds } = (refused as Refusal).headers;
    expect(Number(seconds)).toBeGreaterThanOrEqual(1);
    expect(Number(seconds)).toBeLessThanOrEqual(60);
  });

  test('do not keep out the same application elsewhere, nor another one there', async () => {
    const throttle = createSignInThrottle(LIMITS, newCounter);
    await fail(throttle, 3, 'a');
    await expect(throttle.require('a', '192.0.2.2')).resolves.toBeUndefined();
    await expect(throttle.require('b', HERE)).resolves.toBeUndefined();
  });

  test('of many applications are counted by address', async () => {
    const throttle = createSignInThrottle(LIMITS, newCounter);
    for (let tries = 0; tries < 6; tries += 1) await fail(throttle, 1, `app ${tries}`);
    await expect(throttle.require('another', HERE)).rejects.toMatchObject({ status: 429 });
    await expect(throttle.require('another', '192.0.2.2')).resolves.toBeUndefined();
  });

  test('from many addresses are counted by application', async () => {
    const throttle = createSignInThrottle(LIMITS, newCounter);
    for (let tries = 0; tries < 9; tries += 1) await fail(throttle, 1, 'a', `192.0.2.${tries}`);
    await expect(throttle.require('a', '198.51.100.1')).rejects.toMatchObject({ status: 429 });
    await expect(throttle.require('b', '198.51.100.1')).resolves.toBeUndefined();
  });

  test('of others do not keep out an application where it has signed in before', async () => {
    const throttle = createSignInThrottle(LIMITS, newCounter);
    await throttle.succeeded('a', HERE);
    for (let tries = 0; tries < 9; tries += 1) await fail(throttle, 1, 'a', `198.51.100.${tries}`);
    for (let tries = 0; tries < 6; tries += 1) await fail(throttle, 1, `app ${tries}`);
    await expect(throttle.require('a', HERE)).resolves.toBeUndefined();
    await expect(throttle.require('b', HERE)).rejects.toMatchObject({ status: 429 });
  });

  test.each([
    ['an IPv6 network of 64 bits', '2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff'],
    ['an IPv4 address and its IPv6 form', '192.0.2.7', '::ffff:192.0.2.7'],
  ])('are counted together for %s', async (_what, one, same) => {
    const throttle = createSignInThrottle(LIMITS, newCounter);
    await fail(throttle, 3, 'a', one);
    await expect(throttle.require('a', same)).rejects.toMatchObject({ status: 429 });
    await expect(throttle.require('a', '2001:db8:1:3::1')).resolves.toBeUndefined();
  });
});

describe('the token endpoint', () => {
  test('answers 429 with Retry-After and looks at no more secrets, not even the right one', async () => {
    const identity = await createIdentity(quickHasher, LIMITS);
    const ask = (secret: string) =>
      identity.token({
        form: {
          grant_type: 'client_credentials',
          client_id: identity.application.appId,
          client_secret: secret,
          scope: `${RESOURCE}/.default`,
        },
        tenant: 'adfs',
        version: 'v2.0',
        authorization: undefined,
        address: HERE,
        thumbprint: undefined,
        requestId: 'the request',
      });
    for (let tries = 0; tries < 3; tries += 1)
      expect(await ask(`wrong ${tries}`)).toMatchObject({ status: 401 });
    const { secretsChecked } = identity.counts();
    expect(await ask(identity.secret)).toMatchObject({
      status: 429,
      body: { error: 'temporarily_unavailable', error_codes: [50196] },
      headers: { 'Retry-After': expect.stringMatching(/^\d+$/) },
    });
    expect(identity.counts().secretsChecked).toBe(secretsChecked);
  });
});
