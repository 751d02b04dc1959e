import { describe, expect, test } from '@jest/globals';
import {
  cloudEndpoints,
  createTenantCheck,
  instanceDiscovery,
  openidConfiguration,
  toKeySet,
} from '../../../src/identity/endpoints/metadata.ts';

const TENANT = '5d4f7d6a-58a4-4f2e-8f0b-2f2d5b1c9e77';
const ORIGIN = 'https://main.strongroom.test:8443';

describe('a tenant', () => {
  const isTenant = createTenantCheck(TENANT);
  test.each([TENANT, TENANT.toUpperCase(), 'adfs', 'ADFS', 'Adfs'])(
    '%s is this directory',
    (name) => {
      expect(isTenant(name)).toBe(true);
    },
  );
  test.each(['', 'common', 'organizations', 'adfs ', 'adfs2', TENANT.slice(1), `${TENANT}0`])(
    '%j is not',
    (name) => {
      expect(isTenant(name)).toBe(false);
    },
  );
});

describe('the OpenID configuration', () => {
  test.each([
    ['adfs', 'v1', `${ORIGIN}/adfs`, `${ORIGIN}/adfs/oauth2/token`],
    ['adfs', 'v2.0', `${ORIGIN}/adfs/v2.0`, `${ORIGIN}/adfs/oauth2/v2.0/token`],
    [TENANT, 'v1', `${ORIGIN}/${TENANT}`, `${ORIGIN}/${TENANT}/oauth2/token`],
    [TENANT, 'v2.0', `${ORIGIN}/${TENANT}/v2.0`, `${ORIGIN}/${TENANT}/oauth2/v2.0/token`],
  ] as const)(
    'of %s, %s, names the issuer %s and the endpoint %s',
    (tenant, version, issuer, endpoint) => {
      expect(openidConfiguration(`${ORIGIN}/${tenant}`, version)).toMatchObject({
        issuer,
        token_endpoint: endpoint,
        jwks_uri: `${ORIGIN}/${tenant}/discovery/v2.0/keys`,
      });
    },
  );

  // msal-common accepts an issuer of the authority's own scheme, host and port, and refuses any other.
  test.each(['https://localhost:8443', 'https://[::1]:8443', 'https://strongroom.test'])(
    'asked for at %s, has every address there',
    (origin) => {
      const document = openidConfiguration(`${origin}/adfs`, 'v1') as Record<string, unknown>;
      for (const name of ['issuer', 'authorization_endpoint', 'token_endpoint', 'jwks_uri'])
        expect(new URL(String(document[name])).origin).toBe(origin);
    },
  );

  // OpenID Connect Discovery 1.0 §3, what is REQUIRED of a provider.
  test('has all that the standard requires', () => {
    expect(Object.keys(openidConfiguration(`${ORIGIN}/adfs`, 'v2.0'))).toEqual(
      expect.arrayContaining([
        'issuer',
        'authorization_endpoint',
        'token_endpoint',
        'jwks_uri',
        'response_types_supported',
        'subject_types_supported',
        'id_token_signing_alg_values_supported',
      ]),
    );
  });
});

describe('instance discovery', () => {
  test('vouches for the host that was asked, with its port', () => {
    const host = 'main.strongroom.test:8443';
    expect(instanceDiscovery(ORIGIN)).toEqual({
      'api-version': '1.1',
      metadata: [{ aliases: [host], preferred_cache: host, preferred_network: host }],
      tenant_discovery_endpoint: `${ORIGIN}/adfs/v2.0/.well-known/openid-configuration`,
    });
  });
});

describe("a cloud's endpoints", () => {
  test.each([
    [ORIGIN, 'strongroom.test:8443'],
    ['https://main.strongroom.test', 'strongroom.test'],
    ['https://localhost:8443', 'strongroom.test:8443'],
  ])('asked for at %s, lead there, with pools below %s', (origin, parent) => {
    expect(cloudEndpoints(origin, 'strongroom.test', TENANT)).toEqual({
      authentication: {
        audiences: [`https://${parent}`],
        identityProvider: 'ADFS',
        loginEndpoint: `${origin}/adfs`,
        tenant: TENANT,
      },
      graphAudience: origin,
      microsoftGraphResourceId: `${origin}/`,
      name: 'Strongroom',
      resourceManager: origin,
      suffixes: { keyVaultDns: parent, mhsmDns: parent, storage: parent },
    });
  });
});

describe('the key set', () => {
  test('holds public halves and nothing else', () => {
    const keys = [
      { kid: 'a'.repeat(32), n: new Uint8Array([0xff, 0xfe]), e: new Uint8Array([1, 0, 1]) },
      { kid: 'b'.repeat(32), n: new Uint8Array([0x80]), e: new Uint8Array([1, 0, 1]) },
    ];
    expect(toKeySet(keys)).toEqual({
      keys: [
        { kty: 'RSA', use: 'sig', alg: 'RS256', kid: 'a'.repeat(32), n: '__4', e: 'AQAB' },
        { kty: 'RSA', use: 'sig', alg: 'RS256', kid: 'b'.repeat(32), n: 'gA', e: 'AQAB' },
      ],
    });
  });
});
