import { beforeAll, describe, expect, test } from '@jest/globals';
import { createHash, createPublicKey, publicEncrypt, verify as verifySignature } from 'node:crypto';
import { type Caller, createCaller, fetchToken } from '../../support/client.ts';
import { isSealed } from '../../support/keeping.ts';
import { rawRequest } from '../../support/raw-request.ts';
import { useSharedService } from '../../support/use-service.ts';

/** The wire as existing clients need it: most lines are a bug that someone met with another server. */

const { service, admin, adminToken, atEnd } = useSharedService();
let stranger: Caller & { close(): void };

interface Bundle {
  key: {
    kid: string;
    kty: string;
    key_ops: string[];
    crv?: string;
    n?: string;
    e?: string;
    x?: string;
    y?: string;
    k?: string;
  };
  attributes: Record<string, unknown>;
  tags?: Record<string, string>;
}
interface Failure {
  error: { code: string; message: string; innererror?: { code: string } };
}

beforeAll(async () => {
  stranger = createCaller(service);
  atEnd(stranger);
  for (const [name, body] of [
    ['wire-rsa', { kty: 'RSA-HSM' }],
    ['wire-ec', { kty: 'EC-HSM' }],
    ['wire-aes', { kty: 'oct-HSM' }],
  ] as const)
    expect((await admin('POST', `/keys/${name}/create`, body)).status).toBe(200);
});

const value = Buffer.alloc(32, 7).toString('base64url');

describe('a caller without a credential', () => {
  test.each([
    ['GET', '/keys'],
    ['POST', '/keys/any/create'],
    ['POST', '/keys/not a name/sign?api-version=nonsense'.replaceAll(' ', '%20')],
    ['DELETE', '/no/such/path'],
  ])(
    'meets a 401 with exactly one challenge, whatever else is wrong: %s %s',
    async (method, path) => {
      const answer = await stranger(method, path);
      expect(answer.status).toBe(401);
      const challenges = answer.rawHeaders.filter((name) => /^www-authenticate$/i.test(name));
      expect(challenges).toHaveLength(1);
      expect(answer.headers['www-authenticate']).toBe(
        `Bearer authorization="https://localhost:${service.port}/adfs", resource="https://strongroom.localhost:${service.port}"`,
      );
      expect(answer.text).toBe(method === 'GET' ? 'OK' : '');
    },
  );

  test("is told of the pool's parent domain, with the port as it wrote it", async () => {
    const named = await stranger('GET', '/keys', undefined, { Host: 'main.strongroom.localhost' });
    expect(named.headers['www-authenticate']).toBe(
      'Bearer authorization="https://main.strongroom.localhost/adfs", resource="https://strongroom.localhost"',
    );
  });
});

describe('a credential that is no good', () => {
  test.each([
    ['nothing after Bearer', 'Bearer '],
    ['another scheme', 'Basic YTpi'],
    ['no JWT', 'Bearer abc'],
    [
      'an unsigned JWT',
      () =>
        `Bearer ${[{ alg: 'none', typ: 'JWT' }, claimsOf(adminToken())].map(encode).join('.')}.`,
    ],
    ['a signature that is altered', () => `Bearer ${adminToken().slice(0, -6)}AAAAAA`],
    ['claims that are altered', () => `Bearer ${alter(adminToken())}`],
  ])('%s: 401 with a challenge, and a record', async (_what, credential) => {
    const authorization = typeof credential === 'string' ? credential : credential();
    const answer = await stranger('GET', '/keys', undefined, { Authorization: authorization });
    expect([answer.status, typeof answer.headers['www-authenticate']]).toEqual([401, 'string']);
    const { value: events } = (
      await admin('GET', '/audit/events?outcome=failure&maxresults=1000')
    ).json<{ value: { requestId: string; status: number }[] }>();
    expect(events).toContainEqual(
      expect.objectContaining({ requestId: answer.headers['x-ms-request-id'], status: 401 }),
    );
  });
});

function encode(part: unknown): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}
function claimsOf(jwt: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >;
}
function alter(jwt: string): string {
  const [header = '', , signature = ''] = jwt.split('.');
  return [
    header,
    encode({ ...claimsOf(jwt), oid: '00000000-0000-4000-8000-000000000000' }),
    signature,
  ].join('.');
}

describe('paths as clients write them', () => {
  test.each([
    ['/keys/wire-aes//wrapkey', 'an empty version'],
    ['/keys/wire-aes/wrapKey', 'another case, as .NET writes it'],
    ['//keys//wire-aes/wrapkey', 'repeated slashes'],
    ['/keys/wire-aes/wrapkey?api-version=7.0', 'an old version of the API'],
    ['/keys/wire-aes/wrapkey?api%2Dversion=2025-07-01', 'a percent-encoded query name'],
    ['/keys/WIRE-AES/wrapkey', 'a key name in another case'],
    ['/k%65ys/wire-%61es/wr%61pkey', 'letters that are percent-encoded without need'],
    ['/%6Beys/wire-aes//wrapkey?%61pi-version=7.4', 'others, with an empty version'],
  ])('%s (%s)', async (path) => {
    const answer = await admin('POST', path, { alg: 'A256KW', value });
    expect([answer.status, answer.text]).toEqual([200, expect.stringContaining('"alg":"A256KW"')]);
  });

  test.each([
    '/keys/',
    '/keys/?maxresults=1',
    '/keys/wire-aes/',
    '///providers/Microsoft.Authorization/roleDefinitions',
    '/%2F/providers/Microsoft.Authorization/roleDefinitions',
  ])('GET %s', async (path) => {
    expect((await admin('GET', path)).status).toBe(200);
  });

  test('an API version that nobody knows is refused with the newest one named', async () => {
    const answer = await admin('GET', '/keys?api-version=9.9');
    expect([answer.status, answer.json<Failure>().error]).toEqual([
      400,
      {
        code: 'BadParameter',
        message: expect.stringContaining('(9.9) is not recognized') as unknown as string,
      },
    ]);
  });

  test('identifiers have the host that the caller used', async () => {
    const byName = await admin('GET', '/keys/wire-aes', undefined, {
      Host: 'main.strongroom.localhost',
    });
    expect(byName.json<Bundle>().key.kid).toMatch(
      /^https:\/\/main\.strongroom\.localhost\/keys\/wire-aes\/[0-9a-f]{32}$/,
    );
    const other = await admin('GET', '/keys/wire-aes', undefined, {
      Host: 'other.strongroom.localhost',
    });
    expect([other.status, other.json<Failure>().error.code]).toEqual([404, 'PoolNotFound']);
  });

  test('a GET or DELETE needs no Content-Type, and any Content-Type will do for JSON', async () => {
    const answer = await admin(
      'POST',
      '/keys/wire-aes/wrapkey',
      { alg: 'A256KW', value },
      { 'Content-Type': 'text/plain' },
    );
    expect(answer.status).toBe(200);
  });

  test.each([
    ...['utf8', 'UTF8', 'UTF-8', '"utf-8"', '"UTF8"', "'utf-8'", 'utf_8', 'us-ascii', ''],
    ...['utf-8; odata=verbose', 'utf8 ;x=y'],
  ])('a body in charset=%s is JSON, whoever reads it', async (charset) => {
    for (const type of [`application/json; charset=${charset}`, `text/json;Charset=${charset}`])
      for (const more of [{}, { 'Content-Encoding': 'identity' }]) {
        const headers = { 'Content-Type': type, ...more };
        const answer = await admin(
          'POST',
          '/keys/wire-aes/wrapkey',
          { alg: 'A256KW', value },
          headers,
        );
        expect([answer.status, answer.text]).toEqual([200, expect.stringContaining('A256KW')]);
      }
    const form = await stranger('POST', '/adfs/oauth2/token', 'grant_type=none', {
      'Content-Type': `application/x-www-form-urlencoded; charset=${charset}`,
    });
    expect(form.text).toContain('AADSTS70003');
  });

  test.each(['iso-8859-1', 'utf-80', 'klingon'])('a body in charset=%s is not', async (charset) => {
    const headers = { 'Content-Type': `application/json; charset=${charset}` };
    const answer = await admin('POST', '/keys/wire-aes/wrapkey', { alg: 'A256KW', value }, headers);
    expect(answer.status).toBe(415);
  });

  test('the names of a query, and the dollar in a path, may be percent-encoded', async () => {
    const nobody = '/v1.0/groups/00000000-0000-4000-8000-000000000000/members';
    for (const path of [`${nobody}/$ref`, `${nobody}/%24ref`, `${nobody}/%24%72ef`]) {
      const body = { '@odata.id': 'https://localhost/v1.0/directoryObjects/x' };
      expect((await admin('POST', path, body)).text).not.toContain('no operation');
    }
    const filter = `filter=displayName%20eq%20'nobody-of-wire'`;
    for (const query of [
      `$${filter}`,
      `%24${filter}`,
      `%24%66ilter=displayName+eq+'nobody-of-wire'`,
    ]) {
      const answer = await admin('GET', `/v1.0/applications?${query}`);
      expect([answer.status, answer.json()]).toEqual([200, { value: [] }]);
    }
  });
});

describe('whom a request is for', () => {
  const CLOSE = 'Connection: close';
  const kidOf = ({ body }: { body: string }) =>
    (JSON.parse(body) as Bundle).key.kid.split('/keys/')[0];
  const ask = (...lines: string[]) =>
    rawRequest(service, ...lines, `Authorization: Bearer ${adminToken()}`, CLOSE);

  // RFC 9112 §3.2: more than one Host header, or one that is no host.
  test.each([
    ['two Host headers', ['Host: localhost', 'Host: other.example']],
    ['the same Host header twice', ['Host: localhost', 'Host: localhost']],
    ['two Host headers in other letters', ['HOST: localhost', 'host: other.example']],
    ['two hosts in one', ['Host: localhost, other.example']],
    ['an empty Host header', ['Host:']],
    ['no Host header', []],
    ...[
      ...['a.1', '1.2.3.4.5', '256.1.1.1', 'localhost:99999', 'localhost:x', 'user@localhost'],
      ...[
        '[::1',
        '[::g]',
        '[fe80::1%25eth0]',
        '[fe80::1%eth0]',
        '%6cocalhost',
        'h\u00f6st.example',
      ],
      ...['a..b', 'localhost..', '-', 'a b', 'localhost/x', 'localhost?x', 'localhost#x'],
      ...['"localhost"', `${'a'.repeat(300)}.example`],
    ].map((host): [string, string[]] => [host, [`Host: ${host}`]]),
  ])('%s: 400', async (_what, lines) => {
    for (const path of ['/keys/wire-aes', '/healthz', '/metadata/endpoints']) {
      const { status } = await ask(`GET ${path} HTTP/1.1`, ...lines);
      expect([path, status]).toEqual([path, 400]);
    }
  });

  test.each([
    'localhost',
    'LOCALHOST:1',
    'localhost.',
    'main.strongroom.localhost.:8443',
    'xn--hst-sna.example',
    '127.0.0.1:8443',
    '[::1]:8443',
    '0x7f.1',
  ])('the host %s is an identifier of keys, and sign-in metadata name it', async (host) => {
    const answer = await ask('GET /keys/wire-aes HTTP/1.1', `Host: ${host}`);
    expect([answer.status, kidOf(answer)]).toEqual([200, `https://${host}`]);
    for (const path of [
      '/common/discovery/instance',
      '/metadata/endpoints',
      '/adfs/.well-known/openid-configuration',
    ]) {
      const { status, body } = await ask(`GET ${path} HTTP/1.1`, `Host: ${host}`);
      expect([path, status]).toEqual([path, 200]);
      expect(body).toContain(`https://${host}/`);
    }
  });

  test('a dot at the end makes no other pool, and is kept in the resource that clients compare', async () => {
    const { status, head } = await rawRequest(
      service,
      'GET /keys HTTP/1.1',
      'Host: main.strongroom.localhost.:8443',
      CLOSE,
    );
    expect([status, head]).toEqual([
      401,
      expect.stringContaining('resource="https://strongroom.localhost.:8443"'),
    ]);
    const other = await ask('GET /keys HTTP/1.1', 'Host: other.strongroom.localhost.');
    expect(other.status).toBe(404);
    const { AZURE_CLIENT_ID: clientId = '', AZURE_CLIENT_SECRET: clientSecret = '' } =
      service.client;
    const resource = 'https://strongroom.localhost.:8443';
    const dotted = createCaller(
      service,
      await fetchToken(service, { clientId, clientSecret }, resource),
    );
    expect((await dotted('GET', '/keys')).status).toBe(200);
    dotted.close();
  });

  // RFC 9112 §3.2.2: a server must take the absolute form, whose host counts.
  test.each([
    [
      'https://main.strongroom.localhost:8443/keys/wire-aes',
      'https://main.strongroom.localhost:8443',
    ],
    [
      'HTTPS://Main.Strongroom.localhost//keys//wire-aes?api-version=7.4',
      'https://Main.Strongroom.localhost',
    ],
    ['https://127.0.0.1/keys/wire-aes/', 'https://127.0.0.1'],
  ])('an absolute target is served: %s', async (target, origin) => {
    const answer = await ask(`GET ${target} HTTP/1.1`, 'Host: localhost');
    expect([answer.status, kidOf(answer)]).toEqual([200, origin]);
  });

  test('an absolute target of a pool that is not here is not found, whatever the Host header says', async () => {
    const target = 'https://other.strongroom.localhost/keys/wire-aes';
    expect((await ask(`GET ${target} HTTP/1.1`, 'Host: localhost')).status).toBe(404);
  });

  test.each([
    ['GET', 'http://localhost/keys/wire-aes', 400],
    ['GET', 'https://user@localhost/keys/wire-aes', 400],
    ['GET', 'https:///keys/wire-aes', 400],
    ['GET', 'https://a.1/keys/wire-aes', 400],
    ['GET', 'https://localhost:99999/keys/wire-aes', 400],
    ['OPTIONS', '*', 400],
    ['CONNECT', 'localhost:443', 405],
  ])('%s %s is refused with a sentence', async (method, target, status) => {
    const answer = await ask(`${method} ${target} HTTP/1.1`, 'Host: localhost');
    expect([answer.status, JSON.parse(answer.body)]).toEqual([
      status,
      { error: { code: expect.any(String), message: expect.stringMatching(/\.( |$)/) } },
    ]);
  });

  test('an absolute target does not excuse a wrong Host header', async () => {
    const target = 'https://localhost/keys/wire-aes';
    for (const lines of [['Host: a.1'], ['Host: localhost', 'Host: localhost']])
      expect((await ask(`GET ${target} HTTP/1.1`, ...lines)).status).toBe(400);
  });

  // HAProxy's check, with `option httpchk GET /readyz` or `option httpchk /readyz`.
  test.each(['GET', 'HEAD', 'OPTIONS'])(
    '%s in HTTP/1.0 without a host, or with an empty one, is answered to probes, and to nobody else',
    async (method) => {
      for (const [path, expected] of [
        ['/healthz', 200],
        ['/readyz', 200],
        ['https://localhost/readyz', 200],
        ['/keys/wire-aes', 400],
      ] as const) {
        for (const head of [
          [`${method} ${path} HTTP/1.0`],
          [`${method} ${path} HTTP/1.0`, 'Host:'],
          [`${method} ${path} HTTP/1.0`, 'Host: '],
        ]) {
          const { status } = await rawRequest(service, ...head);
          expect([head, status]).toEqual([head, expected]);
        }
      }
    },
  );

  test('a credential that comes twice is none', async () => {
    const twice = await ask('GET /keys HTTP/1.1', 'Host: localhost', 'Authorization: Bearer a.b.c');
    expect(twice.status).toBe(401);
  });
});

describe('a credential as clients write it', () => {
  test.each(['Bearer  {}', 'Bearer\t{}', 'bearer {}', 'BEARER   {}', '  Bearer {}  '])(
    'is taken: %j',
    async (form) => {
      const line = `Authorization: ${form.replace('{}', adminToken())}`;
      const { status } = await rawRequest(
        service, 'GET /keys HTTP/1.1', 'Host: localhost', line, 'Connection: close',
      ); // prettier-ignore
      expect(status).toBe(200);
    },
  );

  test.each(['Bearer{}', 'Bearer {} x', 'Bearer {},', 'Bearer "{}"', 'Bearer\u00a0{}', '{}'])(
    'is refused: %j',
    async (form) => {
      const line = `Authorization: ${form.replace('{}', adminToken())}`;
      const { status } = await rawRequest(
        service, 'GET /keys HTTP/1.1', 'Host: localhost', line, 'Connection: close',
      ); // prettier-ignore
      expect(status).toBe(401);
    },
  );
});

describe('sign-in as clients ask for it', () => {
  const tokenAt = (path: string, scope: string) => {
    const { AZURE_CLIENT_ID: id = '', AZURE_CLIENT_SECRET: secret = '' } = service.client;
    // The scope goes out as it is written here: each client encodes blanks in its own way.
    const form = `grant_type=client_credentials&client_id=${id}&client_secret=${secret}&scope=${scope}`;
    return stranger('POST', path, form, { 'Content-Type': 'application/x-www-form-urlencoded' });
  };

  test.each([
    '{}/.default+openid+offline_access+profile',
    '{}/.default%20openid%20offline_access%20profile',
    'openid%09{}/.default%0Aemail',
    '{}//.default+openid',
    '{}/user_impersonation',
  ])('a token for the scope %s opens the pool', async (form) => {
    const resource = encodeURIComponent(`https://strongroom.localhost:${String(service.port)}`);
    for (const path of ['/adfs/oauth2/token', '/adfs/oauth2/v2.0/token']) {
      const answer = await tokenAt(path, form.replace('{}', resource));
      const { access_token: granted } = answer.json<{ access_token: string }>();
      const caller = createCaller(service, granted);
      expect([answer.status, (await caller('GET', '/keys')).status]).toEqual([200, 200]);
      caller.close();
    }
  });

  // `az login --tenant adfs`: azure-cli, profile/_validators.py. It takes the issuer's first segment for the tenant.
  test.each([
    ['/adfs/.well-known/openid-configuration', '/adfs'],
    ['/adfs/v2.0/.well-known/openid-configuration', '/adfs/v2.0'],
    ['/adfs/adfs/v2.0/.well-known/openid-configuration', '/adfs/adfs/v2.0'],
    ['/adfs//adfs/v2.0/.well-known/openid-configuration', '/adfs/adfs/v2.0'],
    ['/adfs/adfs/.well-known/openid-configuration', '/adfs/adfs'],
    ['/ADFS/{tenant}/v2.0/.well-known/openid-configuration', '/ADFS/{tenant}/v2.0'],
    ['/{tenant}/v2.0/.well-known/openid-configuration', '/{tenant}/v2.0'],
  ])('the metadata at %s have the issuer %s, and their addresses answer', async (path, issuer) => {
    const tenant = String(claimsOf(adminToken())['tid']);
    const answer = await stranger('GET', path.replace('{tenant}', tenant));
    const document = answer.json<Record<'issuer' | 'jwks_uri' | 'token_endpoint', string>>();
    expect(document.issuer).toBe(`${service.localUrl}${issuer.replace('{tenant}', tenant)}`);
    const pathOf = (url: string) => url.slice(service.localUrl.length);
    expect((await stranger('GET', pathOf(document.jwks_uri))).json()).toEqual({
      keys: expect.arrayContaining([expect.objectContaining({ kty: 'RSA' })]),
    });
    const granted = await tokenAt(
      pathOf(document.token_endpoint),
      'https://strongroom.localhost/.default',
    );
    expect(granted.status).toBe(200);
  });

  test.each(['/contoso', '/adfs/contoso', '/common'])(
    'the metadata of a tenant that is not here are refused as Entra ID does: %s',
    async (tenant) => {
      for (const version of ['', '/v2.0']) {
        const path = `${tenant}${version}/.well-known/openid-configuration`;
        const answer = await stranger('GET', path);
        expect([answer.status, answer.json()]).toEqual([
          400,
          expect.objectContaining({ error: 'invalid_tenant', error_codes: [90002] }),
        ]);
      }
    },
  );
});

describe('answers', () => {
  test('carry the headers of the real service, and nothing that names our software', async () => {
    const { headers } = await admin('GET', '/keys/wire-aes', undefined, {
      'x-ms-client-request-id': 'mine',
    });
    expect(headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-cache',
      'content-security-policy': "default-src 'self'",
      'strict-transport-security': 'max-age=31536000; includeSubDomains',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'SAMEORIGIN',
      'x-ms-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/),
      'x-ms-server-latency': expect.stringMatching(/^\d+$/),
      'x-ms-keyvault-region': expect.any(String),
    });
    expect(headers).not.toHaveProperty('x-powered-by');
    expect(headers).not.toHaveProperty('etag');
  });

  test('an error names its Activity ID, which is the request id', async () => {
    const answer = await admin('GET', '/keys/nobody');
    expect([answer.status, answer.json<Failure>().error]).toEqual([
      404,
      {
        code: 'KeyNotFound',
        message: expect.stringMatching(
          new RegExp(
            `was not found in this key vault\\. \\(Activity ID: ${String(answer.headers['x-ms-request-id'])}\\)$`,
          ),
        ) as unknown as string,
      },
    ]);
  });

  test('a symmetric key shows nothing of itself, a key pair its public half only', async () => {
    const [aes, rsa] = await Promise.all(
      ['wire-aes', 'wire-rsa'].map(
        async (name) => (await admin('GET', `/keys/${name}`)).json<Bundle>().key,
      ),
    );
    expect(Object.keys(aes ?? {}).sort()).toEqual(['key_ops', 'kid', 'kty']);
    expect(Object.keys(rsa ?? {}).sort()).toEqual(['e', 'key_ops', 'kid', 'kty', 'n']);
    expect(rsa?.e).toBe('AQAB');
  });

  test('the coordinates of every elliptic curve keep their leading zeros', async () => {
    const widths = { 'P-256': 32, 'P-256K': 32, 'P-384': 48, 'P-521': 66 };
    for (const [crv, width] of Object.entries(widths))
      for (let turn = 0; turn < 4; turn += 1) {
        const made = (
          await admin('POST', `/keys/widths/create`, { kty: 'EC', crv })
        ).json<Bundle>();
        expect(made.key.kty).toBe('EC-HSM');
        for (const part of [made.key.x, made.key.y])
          expect(Buffer.from(part ?? '', 'base64url')).toHaveLength(width);
      }
  });

  test('values may come in plain base64, and go out in unpadded base64url', async () => {
    const bytes = Buffer.alloc(32, 0xfb);
    const wrapped = (
      await admin('POST', '/keys/wire-aes/wrapkey', {
        alg: 'A256KW',
        value: bytes.toString('base64'),
      })
    ).json<{ value: string }>();
    expect(wrapped.value).toMatch(/^[\w-]+$/);
    const unwrapped = await admin('POST', '/keys/wire-aes/unwrapkey', {
      alg: 'A256KW',
      value: wrapped.value,
    });
    expect(unwrapped.json()).toMatchObject({ value: bytes.toString('base64url') });
  });

  test('lists name each key once, without a version; versions are listed oldest first', async () => {
    const first = (await admin('POST', '/keys/several/create', { kty: 'oct' })).json<Bundle>().key
      .kid;
    const second = (await admin('POST', '/keys/several/create', { kty: 'oct' })).json<Bundle>().key
      .kid;
    const kids: string[] = [];
    let path: string | undefined = '/keys?maxresults=3';
    while (path !== undefined) {
      const page: { value: { kid: string }[]; nextLink?: string } = (
        await admin('GET', path)
      ).json();
      expect(page.value.length).toBeLessThanOrEqual(3);
      kids.push(...page.value.map(({ kid }) => kid));
      path = page.nextLink?.replace(/^https:\/\/[^/]+/, '');
    }
    expect(new Set(kids).size).toBe(kids.length);
    expect(kids).toContain(`https://localhost:${service.port}/keys/several`);
    const versions = (await admin('GET', '/keys/several/versions')).json<{
      value: { kid: string }[];
    }>();
    expect(versions.value.map(({ kid }) => kid)).toEqual([first, second]);
    expect((await admin('GET', '/keys/unknown/versions')).json()).toEqual({ value: [] });
  });

  test.each(['0', '26', 'x'])('maxresults=%s is refused', async (maxresults) => {
    expect((await admin('GET', `/keys?maxresults=${maxresults}`)).status).toBe(400);
  });
});

describe('the life of a key', () => {
  test('tags and attributes are kept, changed by PATCH, and dates beyond 2038 too', async () => {
    const made = await admin('POST', '/keys/wire-kept/create', {
      kty: 'oct',
      tags: { a: 'b' },
      attributes: { exp: 32503680000, nbf: -5 },
    });
    expect(made.json<Bundle>()).toMatchObject({
      tags: { a: 'b' },
      attributes: {
        enabled: true,
        exp: 32503680000,
        nbf: -5,
        exportable: false,
        recoverableDays: 90,
        recoveryLevel: 'Recoverable+Purgeable',
      },
    });
    const patched = await admin('PATCH', '/keys/wire-kept', {
      attributes: { enabled: false },
      key_ops: ['sign'],
      tags: {},
    });
    expect(patched.json<Bundle>()).toMatchObject({
      attributes: { enabled: false, exp: 32503680000 },
      key: { key_ops: ['sign'] },
    });
    expect(patched.json()).not.toHaveProperty('tags');
    expect((await admin('GET', '/keys/wire-kept')).json()).toEqual(patched.json());
  });

  test('a disabled version leaves the bare name to the newest enabled one', async () => {
    const first = (await admin('POST', '/keys/current/create', { kty: 'oct' })).json<Bundle>().key
      .kid;
    const second = (await admin('POST', '/keys/current/create', { kty: 'oct' })).json<Bundle>().key
      .kid;
    const bare = async () => (await admin('GET', '/keys/current')).json<Bundle>().key.kid;
    expect(await bare()).toBe(second);
    await admin('PATCH', new URL(second).pathname, { attributes: { enabled: false } });
    expect(await bare()).toBe(first);
    await admin('PATCH', new URL(second).pathname, { attributes: { enabled: true } });
    expect(await bare()).toBe(second);
  });

  test('deleted: gone at once, listed at once, its name not to be had, recovered with all versions, purged for good', async () => {
    await admin('POST', '/keys/wire-mortal/create', { kty: 'oct' });
    const kept = (await admin('POST', '/keys/wire-mortal/create', { kty: 'oct' })).json<Bundle>();
    const deleted = (await admin('DELETE', '/keys/wire-mortal')).json<{
      recoveryId: string;
      deletedDate: number;
      scheduledPurgeDate: number;
    }>();
    expect(deleted.recoveryId).toBe(`https://localhost:${service.port}/deletedkeys/wire-mortal`);
    expect(deleted.scheduledPurgeDate - deleted.deletedDate).toBe(90 * 86_400);
    expect((await admin('GET', '/keys/wire-mortal')).status).toBe(404);
    expect((await admin('GET', '/deletedkeys/wire-mortal')).json()).toMatchObject({
      key: { kid: kept.key.kid },
    });
    const listed: string[] = [];
    for (let path: string | undefined = '/deletedkeys'; path !== undefined;) {
      const page: { value: { recoveryId: string }[]; nextLink?: string } = (
        await admin('GET', path)
      ).json();
      listed.push(...page.value.map(({ recoveryId }) => recoveryId));
      path = page.nextLink?.replace(/^https:\/\/[^/]+/, '');
    }
    expect(listed.filter((id) => id === deleted.recoveryId)).toHaveLength(1);
    const again = await admin('POST', '/keys/Wire-Mortal/create', { kty: 'oct' });
    expect([
      again.status,
      again.json<Failure>().error.code,
      again.json<Failure>().error.innererror?.code,
    ]).toEqual([409, 'Conflict', 'ObjectIsDeletedButRecoverable']);
    expect((await admin('POST', '/deletedkeys/wire-mortal/recover')).json()).toEqual(kept);
    expect(
      (await admin('GET', '/keys/wire-mortal/versions')).json<{ value: unknown[] }>().value,
    ).toHaveLength(2);
    await admin('DELETE', '/keys/wire-mortal');
    const purged = await admin('DELETE', '/deletedkeys/wire-mortal');
    expect([purged.status, purged.text]).toEqual([204, '']);
    expect((await admin('GET', '/deletedkeys/wire-mortal')).status).toBe(404);
    expect((await admin('POST', '/keys/wire-mortal/create', { kty: 'oct' })).status).toBe(200);
  });
});

describe('what a key refuses', () => {
  const now = Math.floor(Date.now() / 1000);
  test.each([
    ['disabled', { enabled: false }, 'wrapkey', 'KeyDisabled'],
    ['disabled', { enabled: false }, 'unwrapkey', 'KeyDisabled'],
    ['expired', { exp: now - 1 }, 'wrapkey', 'KeyExpired'],
    ['not yet valid', { nbf: now + 3600 }, 'wrapkey', 'KeyNotYetValid'],
    ['expired', { exp: now - 1 }, 'unwrapkey', undefined],
    ['not yet valid', { nbf: now + 3600 }, 'unwrapkey', undefined],
  ])('%s %j: %s gets %s', async (name, attributes, operation, innerCode) => {
    const key = `dated-${name.replaceAll(' ', '-')}`;
    await admin('POST', `/keys/${key}/create`, { kty: 'oct' });
    const wrapped = (await admin('POST', `/keys/${key}/wrapkey`, { alg: 'A256KW', value })).json<{
      value: string;
    }>();
    await admin('PATCH', `/keys/${key}`, { attributes });
    const answer = await admin('POST', `/keys/${key}/${operation}`, {
      alg: 'A256KW',
      value: operation === 'wrapkey' ? value : wrapped.value,
    });
    expect([
      answer.status,
      innerCode === undefined ? undefined : answer.json<Failure>().error.innererror?.code,
    ]).toEqual([innerCode === undefined ? 200 : 403, innerCode]);
  });

  test('an operation that is not among its own', async () => {
    await admin('POST', '/keys/narrow/create', { kty: 'oct', key_ops: ['wrapKey'] });
    const answer = await admin('POST', '/keys/narrow/unwrapkey', { alg: 'A256KW', value });
    expect([answer.status, answer.json<Failure>().error.innererror?.code]).toEqual([
      403,
      'KeyOperationForbidden',
    ]);
  });

  test.each([
    ['wire-aes', 'wrapkey', { alg: 'A128KW', value }, 'an algorithm of another key size'],
    ['wire-aes', 'sign', { alg: 'RS256', value }, 'an algorithm of another key type'],
    [
      'wire-ec',
      'sign',
      { alg: 'ES384', value: Buffer.alloc(48).toString('base64url') },
      'an algorithm of another curve',
    ],
    ['wire-ec', 'encrypt', { alg: 'A256GCM', value }, 'an operation that its type cannot do'],
    [
      'wire-rsa',
      'sign',
      { alg: 'RS256', value: Buffer.alloc(20).toString('base64url') },
      'a digest of the wrong length',
    ],
    [
      'wire-rsa',
      'encrypt',
      { alg: 'RSA-OAEP', value: Buffer.alloc(300).toString('base64url') },
      'a plaintext that is too long',
    ],
    ['wire-rsa', 'encrypt', { alg: 'NONE', value }, 'an algorithm that there is not'],
    ['wire-rsa', 'encrypt', { alg: '__proto__', value }, 'a name that every object has'],
    [
      'wire-aes',
      'encrypt',
      { alg: 'A256GCM', value, iv: 'AAAAAAAAAAAAAAAA' },
      'an IV for GCM: the HSM makes it',
    ],
    ['wire-aes', 'encrypt', { alg: 'A256CBC', value }, 'CBC without an IV'],
    [
      'wire-aes',
      'encrypt',
      { alg: 'A256CBC', value: 'AAAA', iv: Buffer.alloc(16).toString('base64url') },
      'CBC of less than a block',
    ],
    ['wire-aes', 'wrapkey', { alg: 'A256KW', value: 'AAAA' }, 'a data key that KW cannot take'],
    ['wire-aes', 'wrapkey', { alg: 'A256KW', value: '!' }, 'what is not base64url'],
    ['wire-aes', 'wrapkey', { alg: 'A256KW' }, 'a missing value'],
    ['wire-aes', 'wrapkey', [], 'a body that is no object'],
    ['wire-aes', 'wrapkey', '{', 'a body that is no JSON'],
  ])('%s %s: %j (%s)', async (key, operation, body, _why) => {
    const answer = await admin('POST', `/keys/${key}/${operation}`, body);
    const codes = [answer.status, answer.json<Failure>().error.code];
    expect([
      [400, 'BadParameter'],
      [403, 'Forbidden'],
    ]).toContainEqual(codes);
    expect(answer.text).not.toContain(value);
  });

  test('a body beyond the limit, and says so', async () => {
    const answer = await admin('POST', '/keys/wire-aes/encrypt', {
      alg: 'A256GCM',
      value: 'A'.repeat(300_000),
    });
    expect([answer.status, answer.json<Failure>().error.code]).toEqual([
      413,
      'RequestEntityTooLarge',
    ]);
  });

  test.each([
    ['RSA1_5', 'wire-rsa'],
    ['RSA-OAEP', 'wire-rsa'],
    ['RSA-OAEP-256', 'wire-rsa'],
    ['A256GCM', 'wire-aes'],
    ['A256CBCPAD', 'wire-aes'],
  ])('%s: every wrong ciphertext gets the same answer', async (alg, key) => {
    const isAes = key === 'wire-aes';
    const extra =
      alg === 'A256GCM'
        ? { iv: 'AAAAAAAAAAAAAAAA', tag: Buffer.alloc(16).toString('base64url') }
        : isAes
          ? { iv: Buffer.alloc(16).toString('base64url') }
          : {};
    const answers = new Set<string>();
    for (const length of isAes ? [16, 32, 48] : [256, 255, 257, 1])
      for (const fill of [0, 1, 0x7f]) {
        const body = { value: Buffer.alloc(length, fill).toString('base64url'), ...extra };
        // One of some 250 has a padding by chance, and so isn't wrong.
        if (alg === 'A256CBCPAD' && (await hasPadding(key, body))) continue;
        const answer = await admin('POST', `/keys/${key}/decrypt`, { alg, ...body });
        answers.add(`${answer.status} ${answer.text.replace(/[0-9a-f-]{36}/, '')}`);
      }
    expect([...answers]).toEqual([
      '400 {"error":{"code":"BadParameter","message":"The ciphertext could not be decrypted. (Activity ID: )"}}',
    ]);
  });
});

/** Whether what is decrypted without looking at a padding ends with one (PKCS #7). */
async function hasPadding(key: string, body: object): Promise<boolean> {
  const answer = await admin('POST', `/keys/${key}/decrypt`, { alg: 'A256CBC', ...body });
  expect(answer.status).toBe(200);
  const plaintext = Buffer.from(answer.json<{ value: string }>().value, 'base64url');
  const length = plaintext.at(-1) ?? 0;
  return (
    length >= 1 && length <= 16 && plaintext.subarray(-length).every((byte) => byte === length)
  );
}

describe('what a key answers to an algorithm of another kind', () => {
  test.each([
    ['wire-rsa', 'encrypt', 'A128GCM', 'encryption'],
    ['wire-aes', 'encrypt', 'A128GCM', 'encryption'],
    ['wire-aes', 'decrypt', 'A128CBC', 'encryption'],
    ['wire-aes', 'wrapkey', 'A128KW', 'key wrap'],
    ['wire-rsa', 'unwrapkey', 'A256KW', 'key wrap'],
    ['wire-rsa', 'sign', 'ES256', 'signing'],
    ['wire-ec', 'verify', 'RS256', 'signing'],
  ])('%s %s %s: that key and %s algorithm are incompatible', async (key, operation, alg, word) => {
    const body = { alg, value, digest: value };
    const answer = await admin('POST', `/keys/${key}/${operation}`, body);
    expect([answer.status, answer.json<Failure>().error.message]).toEqual([
      400,
      expect.stringContaining(`Key and ${word} algorithm are incompatible: ${alg}`),
    ]);
  });
});

describe('creating a key', () => {
  test.each([0, 65537, 4294967295])(
    'with the public exponent %i makes one with it, where 0 is none',
    async (public_exponent) => {
      const body = { kty: 'RSA-HSM', key_size: 2048, public_exponent };
      const { key } = (await admin('POST', '/keys/exponent/create', body)).json<Bundle>();
      const e = Number.parseInt(Buffer.from(key.e ?? '', 'base64url').toString('hex'), 16);
      expect(e).toBe(public_exponent === 0 ? 65537 : public_exponent);
    },
  );

  test.each([
    [3, /such as 3 or 17, is not allowed/],
    [17, /below 65537/],
    [1, /below 65537/],
    [-65537, /below 65537/],
    [65538, /must be odd/],
    [4294967297, /must not be larger than 4294967295/],
    [2 ** 70, /must not be larger than 4294967295/],
    [65537.5, /must be a whole number/],
  ])('with the public exponent %d is refused with the reason', async (public_exponent, why) => {
    const body = { kty: 'RSA-HSM', key_size: 2048, public_exponent };
    const answer = await admin('POST', '/keys/no-exponent/create', body);
    expect([answer.status, answer.json<Failure>().error.message]).toEqual([
      400,
      expect.stringMatching(why),
    ]);
    expect(answer.text).toContain('Property public_exponent');
  });

  test.each([
    ...[['SECP256K1', 'P-256K'] as const, ['secp256k1', 'P-256K'] as const],
    ...[['p-256k', 'P-256K'] as const, ['prime256v1', 'P-256'] as const],
    ...[['secp256r1', 'P-256'] as const, ['SECP384R1', 'P-384'] as const],
    ...[['secp521r1', 'P-521'] as const, ['p-521', 'P-521'] as const],
  ])('on the curve %s is one on %s', async (crv, canonical) => {
    const made = (
      await admin('POST', '/keys/curved/create', { kty: 'EC-HSM', crv })
    ).json<Bundle>();
    expect(made.key.crv).toBe(canonical);
    expect((await admin('GET', '/keys/curved')).json<Bundle>().key.crv).toBe(canonical);
  });

  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', '$bytes', 'toJSON', 'tags'])(
    'with the tag %s keeps it, through PATCH, lists and a backup',
    async (tag) => {
      const tags = Object.fromEntries([[tag, 'wire-kept']]);
      const text = (body: object) => JSON.stringify(body).replace('"TAGS"', JSON.stringify(tags));
      const name = `tagged-${tag.replaceAll(/[^a-z]/gi, '-')}`;
      const kept = async (path: string, method = 'GET', body?: unknown) => {
        const answer = await admin(method, path, body);
        expect([answer.status, answer.text]).toEqual([200, expect.stringContaining(text(tags))]);
        return answer;
      };
      await kept(`/keys/${name}/create`, 'POST', text({ kty: 'oct', tags: 'TAGS' }));
      await kept(`/keys/${name}`);
      await kept(`/keys/${name}/versions`);
      await kept(`/keys/${name}`, 'PATCH', text({ tags: 'TAGS' }));
      await kept(`/keys/${name}/rotate`, 'POST');
      const backup = (await admin('POST', `/keys/${name}/backup`)).json<{ value: string }>();
      await kept(`/keys/${name}`, 'DELETE');
      expect((await admin('DELETE', `/deletedkeys/${name}`)).status).toBe(204);
      if (isSealed) await kept('/keys/restore', 'POST', backup);
      await kept(`/keys/${name}`, 'PUT', text({ key: { kty: 'oct', k: value }, tags: 'TAGS' }));
    },
  );

  test.each([-62_135_596_800, -1, 0, 253_402_300_799])(
    'that expires at %i is kept, and the lists of what expires with it',
    async (exp) => {
      const made = await admin('POST', '/keys/dated/create', { kty: 'oct', attributes: { exp } });
      expect(made.json<Bundle>().attributes['exp']).toBe(exp);
      const listed = await admin('GET', '/audit/expiring-keys?before=9999-12-31T23:59:59Z');
      expect(listed.status).toBe(200);
      const policy = {
        lifetimeActions: [
          { trigger: { timeBeforeExpiry: 'P9999Y' }, action: { type: 'Notify' } },
          { trigger: { timeAfterCreate: 'P9999Y99999M' }, action: { type: 'Rotate' } },
        ],
        attributes: { expiryTime: 'P9999Y99999M99999W999999D' },
      };
      const set = await admin('PUT', '/keys/dated/rotationpolicy', policy);
      expect([200, 400]).toContain(set.status);
      const rotated = await admin('POST', '/keys/dated/rotate');
      expect(rotated.status).toBe(200);
      await admin('PUT', '/keys/dated/rotationpolicy', {});
    },
  );

  test.each([-62_135_596_801, 253_402_300_800, 1e15, -1e13, 2 ** 53, 1e300, 1.5, '1'])(
    'with the date %p is refused, as are its import and its change',
    async (date) => {
      for (const name of ['exp', 'nbf'])
        for (const [method, path, body] of [
          ['POST', '/keys/undated/create', { kty: 'oct' }],
          ['PUT', '/keys/undated', { key: { kty: 'oct', k: value } }],
          ['PATCH', '/keys/wire-aes', {}],
        ] as const) {
          const answer = await admin(method, path, { ...body, attributes: { [name]: date } });
          expect([answer.status, answer.text]).toEqual([
            400,
            expect.stringContaining('between 0001-01-01 and 9999-12-31'),
          ]);
        }
      expect((await admin('GET', '/keys/undated')).status).toBe(404);
    },
  );

  test.each([
    [{ kty: 'RSA', key_size: 3072 }, 'RSA-HSM'],
    [{ kty: 'EC', key_size: 2048 }, 'EC-HSM'],
    [{ kty: 'RSA-HSM', crv: '', attributes: { created: 1 }, tags: null }, 'RSA-HSM'],
    [{ kty: 'AES' }, 'oct-HSM'],
    [{ kty: 'oct-HSM', key_size: 192, key_ops: [] }, 'oct-HSM'],
  ])('%j makes a key of type %s, with operations', async (body, kty) => {
    const made = (await admin('POST', '/keys/made/create', body)).json<Bundle>();
    expect(made.key.kty).toBe(kty);
    expect(made.key.key_ops.length).toBeGreaterThan(0);
  });

  test.each([
    [{}, 'no type'],
    [{ kty: 'DSA' }, 'a type that there is not'],
    [{ kty: 'RSA', key_size: 1024 }, 'too small'],
    [{ kty: 'RSA', public_exponent: 3 }, 'a small exponent'],
    [{ kty: 'EC', crv: 'P-224' }, 'a curve that there is not'],
    [{ kty: 'oct', key_size: 255 }, 'an odd size'],
    [{ kty: 'EC', key_ops: ['encrypt'] }, 'an operation of another type'],
    [{ kty: 'RSA', key_ops: ['import', 'sign'] }, 'import beside another operation'],
    [
      {
        kty: 'oct',
        tags: Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`t${i}`, 'v'])),
      },
      'too many tags',
    ],
    [{ kty: 'oct', tags: { a: 'x'.repeat(257) } }, 'a tag that is too long'],
    [{ kty: 'oct', tags: { a: '\0' } }, 'a tag that Postgres cannot hold'],
    [{ kty: 'oct', tags: { a: '\ud800' } }, 'a tag that is no text'],
    [{ kty: 'oct', attributes: { exportable: true } }, 'exportable without a policy'],
    [{ kty: 'oct', attributes: { enabled: 'yes' } }, 'a flag that is no flag'],
  ])('%j is refused (%s)', async (body, _why) => {
    const answer = await admin('POST', '/keys/wire-refused/create', body);
    expect([answer.status, answer.json<Failure>().error.code]).toEqual([400, 'BadParameter']);
    expect((await admin('GET', '/keys/wire-refused')).status).toBe(404);
  });

  test.each(['a b', 'a_b', 'x'.repeat(128), 'ä', '..'])('the name %j is refused', async (name) => {
    const answer = await admin('POST', `/keys/${encodeURIComponent(name)}/create`, { kty: 'oct' });
    expect([400, 404]).toContain(answer.status);
  });
});

describe('an independent implementation', () => {
  const message = Buffer.from('a message');
  test.each([
    ['RS256', 'sha256', 'wire-rsa'],
    ['PS256', 'sha256', 'wire-rsa'],
    ['RS512', 'sha512', 'wire-rsa'],
    ['PS384', 'sha384', 'wire-rsa'],
    ['ES256', 'sha256', 'wire-ec'],
  ])('accepts a signature by %s', async (alg, hash, name) => {
    const { key } = (await admin('GET', `/keys/${name}`)).json<Bundle>();
    const publicKey = createPublicKey({
      key: { ...key, kty: key.kty.replace('-HSM', '') },
      format: 'jwk',
    });
    const digest = createHash(hash).update(message).digest();
    const { value: signature } = (
      await admin('POST', `/keys/${name}/sign`, { alg, value: digest.toString('base64url') })
    ).json<{ value: string }>();
    const options = alg.startsWith('PS')
      ? { key: publicKey, padding: 6, saltLength: digest.length }
      : { key: publicKey, dsaEncoding: 'ieee-p1363' as const };
    expect(verifySignature(hash, message, options, Buffer.from(signature, 'base64url'))).toBe(true);
    const wrong = await admin('POST', `/keys/${name}/verify`, {
      alg,
      digest: createHash(hash).update('another').digest('base64url'),
      value: signature,
    });
    expect([wrong.status, wrong.text]).toEqual([200, expect.stringContaining('"value":false')]);
  });

  test.each([
    ['RSA1_5', { padding: 1 }],
    ['RSA-OAEP', { padding: 4 }],
    ['RSA-OAEP-256', { padding: 4, oaepHash: 'sha256' }],
  ])('encrypts for %s what the service decrypts and unwraps', async (alg, options) => {
    const { key } = (await admin('GET', '/keys/wire-rsa')).json<Bundle>();
    const publicKey = createPublicKey({ key: { ...key, kty: 'RSA' }, format: 'jwk' });
    const ciphertext = publicEncrypt({ key: publicKey, ...options }, message).toString('base64url');
    for (const operation of ['decrypt', 'unwrapkey'])
      expect(
        (await admin('POST', `/keys/wire-rsa/${operation}`, { alg, value: ciphertext })).json(),
      ).toMatchObject({ value: message.toString('base64url') });
  });
});
