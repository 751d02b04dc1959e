import { beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { ServiceError } from '../../../src/core/errors.ts';
import { createSecretHasher } from '../../../src/identity/clients/client-secret.ts';
import { issuerOf } from '../../../src/identity/tokens/tokens.ts';
import {
  createIdentity,
  DOMAIN,
  type Identity,
  quickHasher,
  RESOURCE,
} from '../../support/identity.ts';

let identity: Identity;
beforeAll(async () => {
  identity = await createIdentity(quickHasher);
});

type Form = Readonly<Record<string, unknown>>;
interface Options {
  readonly tenant?: string;
  readonly version?: 'v1' | 'v2.0';
  readonly authorization?: string;
}

/** What the client sends when all is well; `changes` of undefined leave a field out. */
async function request(changes: Form = {}, options: Options = {}) {
  const fields: Form = {
    grant_type: 'client_credentials',
    client_id: identity.application.appId,
    client_secret: identity.secret,
    scope: `${RESOURCE}/.default`,
    ...changes,
  };
  const answer = await identity.token({
    form: Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)),
    tenant: 'adfs',
    version: 'v2.0',
    authorization: undefined,
    address: '192.0.2.1',
    thumbprint: undefined,
    requestId: 'the request',
    ...options,
  });
  return { ...answer, body: answer.body as Readonly<Record<string, unknown>> };
}

async function claimsOf(token: unknown) {
  const { payload, protectedHeader } = await jwtVerify(
    String(token),
    createLocalJWKSet(await identity.keySet()),
    { currentDate: identity.clock.now() },
  );
  return { payload, protectedHeader };
}

const basic = (id: string, secret: string) =>
  `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`;

describe('a client that proves its secret', () => {
  test('gets a token that opens the pool, for an hour', async () => {
    const { status, body } = await request();
    expect([status, body]).toEqual([
      200,
      {
        token_type: 'Bearer',
        expires_in: 3600,
        ext_expires_in: 3600,
        access_token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
      },
    ]);
    const header = `Bearer ${String(body['access_token'])}`;
    await expect(
      identity.authenticate(header, { audience: 'pool', thumbprint: () => undefined }),
    ).resolves.toMatchObject({
      objectId: identity.principal.id,
      applicationId: identity.application.appId,
    });
  });

  test('gets the claims that Entra ID gives to applications, signed RS256 by the published key', async () => {
    const { body } = await request();
    const { payload, protectedHeader } = await claimsOf(body['access_token']);
    const { seconds } = identity.clock;
    expect(protectedHeader).toEqual({
      alg: 'RS256',
      typ: 'JWT',
      kid: await identity.signingKeys.currentKeyId(),
    });
    expect(payload).toEqual({
      aud: RESOURCE,
      iss: issuerOf(DOMAIN, identity.tenantId),
      iat: seconds,
      nbf: seconds - 60,
      exp: seconds + 3600,
      app_displayname: 'client',
      appid: identity.application.appId,
      appidacr: '1',
      idtyp: 'app',
      oid: identity.principal.id,
      sub: identity.principal.id,
      tid: identity.tenantId,
      uti: expect.stringMatching(/^[\w-]{22}$/),
      ver: '1.0',
    });
  });

  test('gets another token each time', async () => {
    const [one, other] = [await request(), await request()];
    expect(one.body['access_token']).not.toBe(other.body['access_token']);
  });

  test.each<[string, () => string, string | number]>([
    ['texts, as Entra ID has them,', () => identity.tenantId, '3600'],
    ['numbers, as ADFS has them,', () => 'adfs', 3600],
  ])('gets %s from the v1 endpoint, and the resource', async (_what, tenant, lifetime) => {
    const { body } = await request(
      { scope: undefined, resource: RESOURCE },
      { version: 'v1', tenant: tenant() },
    );
    const { seconds } = identity.clock;
    expect(body).toMatchObject({
      expires_in: lifetime,
      ext_expires_in: lifetime,
      expires_on: String(seconds + 3600),
      not_before: String(seconds),
      resource: RESOURCE,
    });
  });

  test.each<[string, Form, string]>([
    ['a scope', { scope: `${RESOURCE}/.default` }, RESOURCE],
    ['a scope with two slashes', { scope: `${RESOURCE}//.default` }, `${RESOURCE}/`],
    ['a resource', { scope: undefined, resource: RESOURCE }, RESOURCE],
    ['a resource beside a scope', { resource: 'https://localhost' }, 'https://localhost'],
    ['Azure', { scope: 'https://managedhsm.azure.net/.default' }, 'https://managedhsm.azure.net'],
    ['Graph', { scope: 'https://graph.microsoft.com/.default' }, 'https://graph.microsoft.com'],
  ])('may name %s on either endpoint', async (_case, changes, audience) => {
    for (const version of ['v1', 'v2.0'] as const) {
      const { status, body } = await request(changes, { version });
      const { payload } = await claimsOf(body['access_token']);
      expect([status, payload.aud]).toEqual([200, audience]);
    }
  });

  // https://github.com/AzureAD/microsoft-authentication-library-for-go, accesstokens.go: defaultScopes; Java's has the same.
  test.each<[string, string]>([
    [`${RESOURCE}/.default openid offline_access profile`, RESOURCE],
    [`openid profile offline_access ${RESOURCE}/.default`, RESOURCE],
    [`openid\t${RESOURCE}/.default  email\n`, RESOURCE],
    [`OpenID ${RESOURCE}/.DEFAULT`, RESOURCE],
    [`${RESOURCE}/.default ${RESOURCE}/.default`, RESOURCE],
    [`${RESOURCE}/.default ${RESOURCE.toUpperCase()}/user_impersonation`, RESOURCE],
    [`${RESOURCE}/.default ${RESOURCE}//.default`, RESOURCE],
    [`${RESOURCE}//.default openid`, `${RESOURCE}/`],
    [`${RESOURCE}/user_impersonation`, RESOURCE],
    ['https://managedhsm.azure.net//user_impersonation openid', 'https://managedhsm.azure.net/'],
    [RESOURCE, RESOURCE],
  ])('may put several words into its scope: %j', async (scope, audience) => {
    for (const version of ['v1', 'v2.0'] as const) {
      const { status, body } = await request({ scope }, { version });
      const { payload } = await claimsOf(body['access_token']);
      expect([status, payload.aud]).toEqual([200, audience]);
    }
  });

  test('may leave a field empty that it has no value for', async () => {
    const { status } = await request({ resource: '', client_assertion: '', claims: '' });
    expect(status).toBe(200);
  });

  test('may send what its library sends besides', async () => {
    const { status } = await request({
      'client-request-id': '5d4f7d6a-58a4-4f2e-8f0b-2f2d5b1c9e77',
      'x-client-SKU': 'msal.js.node',
      'x-ms-lib-capability': 'retry-after, h429',
      claims: '{"access_token":{"xms_cc":{"values":["cp1"]}}}',
      client_info: '1',
    });
    expect(status).toBe(200);
  });

  test('may write its id in capitals, and the tenant as alias or GUID', async () => {
    const { tenantId, application } = identity;
    for (const tenant of ['adfs', 'ADFS', tenantId, tenantId.toUpperCase()])
      expect(
        (await request({ client_id: application.appId.toUpperCase() }, { tenant })).status,
      ).toBe(200);
  });

  test.each(['Basic', 'basic'])('may prove it in the Authorization header (%s)', async (word) => {
    const { secret, application } = identity;
    const authorization = basic(application.appId, secret).replace('Basic', word);
    const { status } = await request(
      { client_id: undefined, client_secret: undefined },
      { authorization },
    );
    expect(status).toBe(200);
  });

  test('is named in the answer for the audit record, and the secret is not', async () => {
    const answer = await request();
    expect(answer.client).toEqual({
      applicationId: identity.application.appId,
      principalId: identity.principal.id,
    });
    expect(JSON.stringify(answer)).not.toContain(identity.secret);
  });
});

describe('a refusal', () => {
  const UNKNOWN_CLIENT = '11111111-1111-4111-8111-111111111111';

  test.each<[string, Form, Options, number, string, number]>([
    ['another tenant', {}, { tenant: UNKNOWN_CLIENT }, 400, 'invalid_request', 90002],
    ['the tenant common', {}, { tenant: 'common' }, 400, 'invalid_request', 90002],
    ['no grant type', { grant_type: undefined }, {}, 400, 'unsupported_grant_type', 70003],
    ['another grant type', { grant_type: 'password' }, {}, 400, 'unsupported_grant_type', 70003],
    ['no client', { client_id: undefined }, {}, 400, 'invalid_request', 900144],
    ['no secret', { client_secret: undefined }, {}, 401, 'invalid_client', 7000218],
    ['an empty secret', { client_secret: '' }, {}, 401, 'invalid_client', 7000218],
    ['a wrong secret', { client_secret: 'wrong' }, {}, 401, 'invalid_client', 7000215],
    ['an unknown client', { client_id: UNKNOWN_CLIENT }, {}, 401, 'invalid_client', 7000215],
    ['a client that is no GUID', { client_id: "x' or 1=1" }, {}, 401, 'invalid_client', 7000215],
    [
      'a secret past all bounds',
      { client_secret: 'x'.repeat(513) },
      {},
      401,
      'invalid_client',
      7000215,
    ],
    ['no resource', { scope: undefined }, {}, 400, 'invalid_request', 900144],
    [
      'an unknown resource',
      { scope: 'https://example.com/.default' },
      {},
      400,
      'invalid_resource',
      500011,
    ],
    ['an empty scope', { scope: '' }, {}, 400, 'invalid_request', 900144],
    ['a scope of nothing but blanks', { scope: ' \t ' }, {}, 400, 'invalid_scope', 1002012],
    [
      "a scope of nothing but OpenID Connect's words",
      { scope: 'openid offline_access profile' },
      {},
      400,
      'invalid_scope',
      1002012,
    ],
    ...[
      `${RESOURCE}/.default https://graph.microsoft.com/.default`,
      `openid ${RESOURCE}/.default https://localhost/.default`,
      `${RESOURCE}/.default https://${DOMAIN}/.default`,
      `${RESOURCE}/user_impersonation https://example.com/user_impersonation`,
      `${RESOURCE}/.default unknown`,
    ].map((scope): [string, Form, Options, number, string, number] => [
      `two resources: ${scope}`,
      { scope },
      {},
      400,
      'invalid_scope',
      28000,
    ]),
    ['a word that is no resource', { scope: 'openid groups' }, {}, 400, 'invalid_resource', 500011],
    [
      'a permission of an unknown resource',
      { scope: 'https://example.com/user_impersonation openid' },
      {},
      400,
      'invalid_resource',
      500011,
    ],
    [
      'two grant types',
      { grant_type: ['client_credentials', 'client_credentials'] },
      {},
      400,
      'invalid_request',
      900144,
    ],
    [
      'two clients',
      { client_id: [UNKNOWN_CLIENT, UNKNOWN_CLIENT] },
      {},
      400,
      'invalid_request',
      900144,
    ],
    ['two secrets', { client_secret: ['a', 'b'] }, {}, 400, 'invalid_request', 900144],
    ['scope twice', { scope: [RESOURCE, RESOURCE] }, {}, 400, 'invalid_request', 900144],
    ['resource twice', { resource: [RESOURCE, RESOURCE] }, {}, 400, 'invalid_request', 900144],
    [
      'a secret that is an object',
      { client_secret: { toString: 'x' } },
      {},
      400,
      'invalid_request',
      900144,
    ],
  ])('of %s', async (_case, changes, options, status, error, number) => {
    const answer = await request(changes, options);
    expect([answer.status, answer.body]).toEqual([
      status,
      {
        error,
        error_description: expect.stringMatching(`^AADSTS${number}: .+`),
        error_codes: [number],
        timestamp: identity.clock.now().toISOString(),
        trace_id: 'the request',
        correlation_id: 'the request',
      },
    ]);
  });

  test.each([
    ['client_id', 'a\u0000b'],
    ['client_secret', '\ud800'],
    ['scope', '\udc00x'],
    ['a field that nobody reads', '\u0000'],
    ['\u0000', 'a name'],
  ])('of a form with what cannot be stored (%j)', async (name, value) => {
    const { status, body } = await request({ [name]: value });
    expect([status, body['error'], body['error_codes']]).toEqual([
      400,
      'invalid_request',
      [900144],
    ]);
  });

  test.each([
    ['a broken escape', Buffer.from('%zz:%zz').toString('base64')],
    ['no colon', Buffer.from('client').toString('base64')],
    ['another alphabet', '!!!'],
    ['nothing', ''],
  ])('of an Authorization header with %s', async (_case, credentials) => {
    const { status } = await request(
      { client_id: undefined, client_secret: undefined },
      { authorization: `Basic ${credentials}` },
    );
    expect([400, 401]).toContain(status);
  });

  test('of a Basic credential names the scheme, as RFC 6749 §5.2 wants', async () => {
    const { headers } = await request(
      { client_id: undefined, client_secret: undefined },
      { authorization: basic(identity.application.appId, 'wrong') },
    );
    expect(headers).toEqual({ 'WWW-Authenticate': 'Basic realm="strongroom"' });
    expect((await request({ client_secret: 'wrong' })).headers).toEqual({});
  });

  test.each<[string, Form, boolean]>([
    ['another client', { client_id: UNKNOWN_CLIENT, client_secret: undefined }, false],
    ['another secret', { client_id: undefined, client_secret: 'wrong' }, false],
    ['the same again', {}, true],
  ])('of a Basic credential beside a form with %s', async (_case, form, isTaken) => {
    const authorization = basic(identity.application.appId, identity.secret);
    expect((await request(form, { authorization })).status).toBe(isTaken ? 200 : 400);
  });

  test('does not name for the audit record what is no id, such as a secret in the wrong field', async () => {
    expect((await request({ client_id: identity.secret })).client).toBeUndefined();
    expect((await request({ client_id: UNKNOWN_CLIENT })).client).toEqual({
      applicationId: UNKNOWN_CLIENT,
    });
  });

  test('is the same, and costs the same, for an unknown client and for a wrong secret', async () => {
    const other = await identity.directory.createApplication('no secret', identity.change());
    const cases = [
      { client_secret: `srm_${'x'.repeat(43)}` },
      // The right hint, so that it gets as far as the real hash.
      {
        client_secret: `${identity.secret.slice(0, -1)}${identity.secret.endsWith('A') ? 'B' : 'A'}`,
      },
      { client_id: UNKNOWN_CLIENT },
      { client_id: other.appId },
      { client_id: 'no GUID' },
    ];
    const seen = [];
    for (const changes of cases) {
      const before = identity.counts().secretsChecked;
      const { status, body } = await request(changes);
      seen.push({ status, body, checked: identity.counts().secretsChecked - before });
    }
    expect(new Set(seen.map((one) => JSON.stringify(one))).size).toBe(1);
    expect(seen[0]).toMatchObject({ status: 401, checked: 1 });
  });

  test('never repeats the secret', async () => {
    const { secret } = identity;
    for (const changes of [
      { scope: 'https://example.com/.default' },
      { client_id: UNKNOWN_CLIENT },
    ])
      expect(JSON.stringify(await request(changes))).not.toContain(secret);
  });

  test('is what every form meets that does not hold the secret', async () => {
    const value = fc.oneof(fc.string(), fc.array(fc.string(), { maxLength: 2 }));
    const field = fc.constantFrom(
      'client_id',
      'scope',
      'resource',
      'grant_type',
      '__proto__',
      'toString',
    );
    const form = fc.dictionary(fc.oneof(field, fc.string()), value);
    await fc.assert(
      fc.asyncProperty(
        form,
        fc.option(fc.string(), { nil: undefined }),
        async (changes, authorization) => {
          const { status, body } = await request(
            { ...changes, client_secret: undefined },
            authorization === undefined ? {} : { authorization },
          );
          expect([400, 401]).toContain(status);
          expect(body['error_codes']).toHaveLength(1);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('the life of a secret', () => {
  async function client(dates: { startsAt?: Date; endsAt?: Date } = {}) {
    const { directory, change } = identity;
    const application = await directory.createApplication('short-lived', change());
    const principal = await directory.createServicePrincipal(application.appId, change());
    const { secret, password } = await directory.addPassword(application.id, dates, change());
    return { application, principal, secret, password };
  }
  const signIn = async ({ application, secret }: Awaited<ReturnType<typeof client>>) => {
    const { status, body } = await request({
      client_id: application.appId,
      client_secret: secret,
    });
    return [status, body['error'], body['error_codes']];
  };
  const ok = [200, undefined, undefined];
  const later = (seconds: number) => new Date(identity.clock.now().getTime() + seconds * 1000);

  test.each([
    ['has not begun', 1, 100, [401, 'invalid_client', [7000222]]],
    ['begins now', 0, 100, ok],
    ['ends in a second', -100, 1, ok],
    ['ends now', -100, 0, [401, 'invalid_client', [7000222]]],
  ])('that %s', async (_case, from, to, expected) => {
    expect(await signIn(await client({ startsAt: later(from), endsAt: later(to) }))).toEqual(
      expected,
    );
  });

  test('that is over is only spoken of to one who knows it', async () => {
    const { application } = await client({ startsAt: later(-100), endsAt: later(-1) });
    const { body } = await request({ client_id: application.appId, client_secret: 'wrong' });
    expect(body['error_codes']).toEqual([7000215]);
  });

  test('ends at once when it is removed, and not that of the one beside it', async () => {
    const { directory, change } = identity;
    const first = await client();
    const { secret } = await directory.addPassword(first.application.id, {}, change());
    expect([await signIn(first), await signIn({ ...first, secret })]).toEqual([ok, ok]);
    await directory.removePassword(first.application.id, first.password.keyId, change());
    expect([await signIn(first), await signIn({ ...first, secret })]).toEqual([
      [401, 'invalid_client', [7000215]],
      ok,
    ]);
  });

  test('does not let in an application whose service principal is disabled, or is not there', async () => {
    const { store, directory, change } = identity;
    const it = await client();
    store.setEnabled(it.principal.id, false);
    expect(await signIn(it)).toEqual([400, 'unauthorized_client', [7000112]]);
    store.setEnabled(it.principal.id, true);
    expect(await signIn(it)).toEqual(ok);
    await directory.deleteServicePrincipal(it.principal.id, change());
    expect(await signIn(it)).toEqual([400, 'unauthorized_client', [7000112]]);
  });
});

describe('a directory that cannot be read', () => {
  test('is no refusal of the client', async () => {
    identity.store.failure = new ServiceError('StoreUnavailable', 'The database is away.');
    await expect(request()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    identity.store.failure = undefined;
    expect((await request()).status).toBe(200);
  });
});

describe('guesses in parallel', () => {
  // Of secrets that are hashed as they are in the service, in a tenth of the time.
  beforeAll(async () => {
    identity = await createIdentity(createSecretHasher({ ln: 12, r: 8, p: 1 }));
  });

  test('meet a limit, while the client that is known signs in', async () => {
    const patient = request();
    await patient;
    const guesses = Array.from({ length: 100 }, (_, n) => request({ client_secret: `guess ${n}` }));
    await expect(request()).resolves.toMatchObject({ status: 200 });
    const answers = await Promise.all(guesses);
    const throttled = answers.filter(({ status }) => status === 429);
    expect(throttled).toHaveLength(34);
    for (const { body, headers } of throttled)
      expect([body['error'], headers]).toEqual(['temporarily_unavailable', { 'Retry-After': '1' }]);
  });
});
