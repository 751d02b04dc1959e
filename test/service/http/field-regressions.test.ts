import { beforeAll, describe, expect, test } from '@jest/globals';
import { createECDH, createHash, createPublicKey, verify } from 'node:crypto';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { type Caller, createCaller } from '../../support/client.ts';
import { outsideEc } from '../../support/plain-keys.ts';
import { useSharedService } from '../../support/use-service.ts';

/**
 * What users of other servers of this protocol have run into. Each name says where it was reported: AKE is
 * james-gould/azure-keyvault-emulator, lowkey is nagyesta/lowkey-vault.
 */

type Client = Caller & { close(): void };
interface Bundle {
  key: {
    kid: string;
    kty: string;
    key_ops: string[];
    x?: string;
    y?: string;
    n?: string;
    k?: string;
  };
  attributes: Record<string, unknown>;
  tags?: Record<string, string>;
}
interface Page {
  value: { kid: string; attributes: Record<string, unknown> }[];
  nextLink?: string;
}

const { service, admin: call, atEnd } = useSharedService();
let stranger: Client;
const value = Buffer.alloc(32, 7).toString('base64url');

beforeAll(async () => {
  stranger = createCaller(service);
  atEnd(stranger);
  await made('field-aes', { kty: 'oct' });
  await made('field-rsa', { kty: 'RSA' });
  await made('field-ec', { kty: 'EC' });
});

async function made(name: string, body: object): Promise<Bundle> {
  const answer = await call('POST', `/keys/${name}/create`, body);
  expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
  return answer.json<Bundle>();
}

function challengeOf(header: string | string[] | undefined): Record<string, string> {
  const pairs = String(header).matchAll(/(?<name>\w+)="(?<text>[^"]*)"/g);
  return Object.fromEntries(
    [...pairs].map(({ groups }) => [groups?.['name'] ?? '', groups?.['text'] ?? '']),
  );
}

describe('the challenge', () => {
  test.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])(
    'to a %s is one header, whatever is asked (AKE#475: a second one broke the Java SDK)',
    async (method) => {
      for (const path of [
        '/keys',
        '/keys/field-aes',
        '/keys/field-aes/sign',
        '/v1.0/applications',
        '/nowhere',
      ]) {
        const { status, rawHeaders } = await stranger(method, path);
        const sent = rawHeaders.filter((name) => /^www-authenticate$/i.test(name));
        expect([path, status, sent.length]).toEqual([path, 401, 1]);
      }
    },
  );

  test.each(['main.strongroom.localhost', 'main.strongroom.localhost:8443'])(
    'to %s names a resource that is a parent of the host (azure-sdk-for-go#19109, lowkey#1541)',
    async (host) => {
      const { headers } = await stranger('GET', '/keys', undefined, { Host: host });
      const { resource = '' } = challengeOf(headers['www-authenticate']);
      // As Go compares them: the request's host ends with "." and the resource's host.
      expect(host.endsWith(`.${new URL(resource).host}`)).toBe(true);
    },
  );

  test('names an https resource and an absolute authority, whose port is that of the call (azure-sdk-for-js#6707, lowkey#162, lowkey#165)', async () => {
    const at = async (host: string) =>
      challengeOf(
        (await stranger('GET', '/keys', undefined, { Host: host })).headers['www-authenticate'],
      );
    const plain = await at('main.strongroom.localhost');
    expect(plain['resource']).toMatch(/^https:\/\/[^:]+$/);
    expect(plain['authorization']).toMatch(/^https:\/\/[^:]+\/adfs$/);
    const ported = await at('main.strongroom.localhost:8443');
    expect(new URL(ported['resource'] ?? '').port).toBe('8443');
    expect(new URL(ported['authorization'] ?? '').port).toBe('8443');
  });

  test.each([
    ['scope', 'v2.0/', '/.default'],
    ['scope', 'v2.0/', '//.default'],
    ['scope', '', '/.default'],
    ['resource', '', ''],
    ['resource', '', '/'],
  ] as const)(
    'leads to a token with the %s at %s, end %j (Basis-Theory#145, #18)',
    async (member, version, end) => {
      const { headers } = await stranger('GET', '/keys');
      const { authorization = '', resource = '' } = challengeOf(headers['www-authenticate']);
      const { AZURE_CLIENT_ID: client_id = '', AZURE_CLIENT_SECRET: client_secret = '' } =
        service.client;
      const form = new URLSearchParams({
        grant_type: 'client_credentials',
        client_id,
        client_secret,
        [member]: `${resource}${end}`,
      });
      const path = `${new URL(authorization).pathname}/oauth2/${version}token`;
      const answer = await stranger('POST', path, form.toString(), {
        'Content-Type': 'application/x-www-form-urlencoded',
      });
      expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
      const signedIn = createCaller(service, answer.json<{ access_token: string }>().access_token);
      expect((await signedIn('GET', '/keys')).status).toBe(200);
      signedIn.close();
    },
  );

  test.each([
    '/adfs/oauth2/token/',
    '/adfs/oauth2/token?api-version=1.0',
    '/adfs/oauth2/v2.0/token/',
  ])(
    'its tokens come from %s too, and are what the metadata says (lowkey#1208, #1559, #1773)',
    async (path) => {
      const { AZURE_CLIENT_ID: client_id = '', AZURE_CLIENT_SECRET: client_secret = '' } =
        service.client;
      const form = new URLSearchParams({
        grant_type: 'client_credentials',
        client_id,
        client_secret,
        scope: 'https://strongroom.localhost/.default',
      });
      const answer = await stranger('POST', path, form.toString(), {
        'Content-Type': 'application/x-www-form-urlencoded',
      });
      const { access_token: token } = answer.json<{ access_token: string }>();
      const metadata = (await stranger('GET', '/adfs/.well-known/openid-configuration')).json<{
        issuer: string;
        jwks_uri: string;
      }>();
      const keySet = await stranger('GET', new URL(metadata.jwks_uri).pathname);
      const { protectedHeader, payload } = await jwtVerify(
        token,
        createLocalJWKSet(keySet.json<JSONWebKeySet>()),
      );
      expect(protectedHeader.alg).toBe('RS256');
      expect(payload).toMatchObject({ appid: client_id });
    },
  );
});

describe('versions of the API', () => {
  test.each([
    ...['7.0', '7.1', '7.2-preview', '7.2', '7.3-preview', '7.3', '7.4-preview.1', '7.4', '7.5'],
    ...['7.6-preview.2', '7.6', '2025-06-01-preview', '2025-07-01', '2026-01-01-preview'],
    ...['2026-03-01-preview', '2026-04-01', '2026-05-01-preview', '2026-07-01-preview'],
    ...['2026-07-01', '2026-12-31', '2027-01-01-preview', '2028-02-29', '9999-12-31'],
  ])(
    '%s is known, so that an update of a library breaks nobody (lowkey#1838, #1930)',
    async (version) => {
      expect((await call('GET', `/keys/field-aes?api-version=${version}`)).status).toBe(200);
      const body = { alg: 'A256KW', value };
      expect(
        (await call('POST', `/keys/field-aes/wrapkey?api-version=${version}`, body)).status,
      ).toBe(200);
    },
  );

  test('none is taken for the newest', async () => {
    expect((await call('GET', '/keys/field-aes')).status).toBe(200);
  });

  test.each([
    ...['1.0', '8.0', '7.7', 'latest', '', '7.4&api-version=7.3', 'preview', '2026-04-01-preview'],
    ...['2025-12-01', '2026-06-01-preview', '2027-02-29', '2027-13-01', '2027-1-1', '2027-00-10'],
    ...['12027-01-01', '2027-01-01-beta', '2027-01-01T00:00:00Z', '%202027-01-01', '2027/01/01'],
  ])('%j is none: 400, and the newest is named', async (version) => {
    const answer = await call('GET', `/keys/field-aes?api-version=${version}`);
    expect([answer.status, answer.text]).toEqual([400, expect.stringContaining('2026-04-01')]);
  });

  test.each([
    ['7.4', undefined],
    ['2025-07-01', undefined],
    ['2026-01-01-preview', 256],
    ['2026-04-01', 256],
    ['2030-01-01', 256],
  ] as const)('%s shows the size of a symmetric key: %s', async (version, size) => {
    const name = `sized-${version.replaceAll('.', '-')}`;
    const at = `?api-version=${version}`;
    const sizesOf = (answer: { json<Shape>(): Shape }) => {
      const body = answer.json<Partial<Page> & Partial<Bundle>>();
      const items = body.value ?? [body];
      return items
        .filter((item) => JSON.stringify(item).includes(`/${name}`))
        .map(({ attributes }) => attributes?.['key_size']);
    };
    /** The page that has it. */
    const listed = async (list: string) => {
      for (let path = `${list}${at}`; ;) {
        const page = await call('GET', path);
        const { nextLink } = page.json<Page>();
        if (page.text.includes(`/${name}`) || nextLink === undefined) return page;
        path = `${nextLink.replace(/^https:\/\/[^/]+/, '')}&${at.slice(1)}`;
      }
    };
    const answers = [
      await call('POST', `/keys/${name}/create${at}`, { kty: 'oct' }),
      await call('GET', `/keys/${name}${at}`),
      await call('GET', `/keys/${name}/versions${at}`),
      await listed('/keys'),
      await call('PATCH', `/keys/${name}${at}`, { tags: { a: 'b' } }),
      await call('POST', `/keys/${name}/rotate${at}`),
      await call('GET', `/keys/${name}/attestation${at}`),
      await call('DELETE', `/keys/${name}${at}`),
      await call('GET', `/deletedkeys/${name}${at}`),
      await listed('/deletedkeys'),
      await call('POST', `/deletedkeys/${name}/recover${at}`),
    ];
    for (const answer of answers) expect(new Set(sizesOf(answer))).toEqual(new Set([size]));
    const pair = await call('GET', `/keys/field-rsa${at}`);
    expect(pair.json<Bundle>().attributes).not.toHaveProperty('key_size');
  });

  test.each<[string, string, string, object, string]>([
    [
      'an external key',
      'POST',
      '/keys/field-newer/create',
      { attributes: { external_key: { id: 'a1' } } },
      'attributes.external_key',
    ],
    [
      'an external key with a type',
      'POST',
      '/keys/field-newer/create',
      { kty: 'oct', attributes: { external_key: {} } },
      'external keys',
    ],
    [
      'an import as an external key',
      'PUT',
      '/keys/field-newer',
      { attributes: { external_key: { id: 'a1' } } },
      'external keys',
    ],
    [
      'a change to an external key',
      'PATCH',
      '/keys/field-aes',
      { attributes: { external_key: { id: 'a1' } } },
      'external keys',
    ],
    ['ML-DSA', 'POST', '/keys/field-newer/create', { kty: 'AKP', alg: 'ML-DSA-65' }, 'ML-DSA'],
    ['ML-DSA in the HSM', 'POST', '/keys/field-newer/create', { kty: 'AKP-HSM' }, 'ML-DSA'],
    [
      'ML-DSA of another type',
      'POST',
      '/keys/field-newer/create',
      { kty: 'RSA', alg: 'ML-DSA-44' },
      'Property alg',
    ],
    ['ML-DSA of no type', 'POST', '/keys/field-newer/create', { alg: 'ML-DSA-87' }, 'ML-DSA'],
    [
      'an import of ML-DSA',
      'PUT',
      '/keys/field-newer',
      { key: { kty: 'AKP', alg: 'ML-DSA-44', pub: 'AAAA' } },
      'ML-DSA',
    ],
    [
      'an import of ML-DSA as another type',
      'PUT',
      '/keys/field-newer',
      { key: { kty: 'oct', alg: 'ML-DSA-44', k: value } },
      'Property alg',
    ],
    [
      'a signature with a context',
      'POST',
      '/keys/field-rsa/sign',
      { alg: 'RS256', value, context: '' },
      'context',
    ],
    [
      'a signature of mu',
      'POST',
      '/keys/field-ec/sign',
      { external_mu: Buffer.alloc(64).toString('base64url') },
      'external_mu',
    ],
    ['a signature without alg', 'POST', '/keys/field-rsa/sign', { value }, 'alg'],
    [
      'a verification with a context',
      'POST',
      '/keys/field-rsa/verify',
      { alg: 'RS256', digest: value, value, context: 'AA' },
      'context',
    ],
    [
      'a verification of mu',
      'POST',
      '/keys/field-ec/verify',
      { external_mu: Buffer.alloc(64).toString('base64url'), value },
      'external_mu',
    ],
    [
      'a verification without alg',
      'POST',
      '/keys/field-rsa/verify',
      { digest: value, value },
      'alg has an invalid value: it is missing',
    ],
    [
      'a verification without digest',
      'POST',
      '/keys/field-ec/verify',
      { alg: 'ES256', value },
      'digest has an invalid value: it is missing',
    ],
  ])('%s is refused by name, and nothing is made', async (_what, method, path, body, named) => {
    for (const version of ['2026-07-01-preview', '7.4']) {
      const answer = await call(method, `${path}?api-version=${version}`, body);
      expect([answer.status, answer.text]).toEqual([400, expect.stringContaining(named)]);
    }
    expect((await call('GET', '/keys/field-newer')).status).toBe(404);
  });

  test('a JWK may say what its key was used for', async () => {
    const key = { kty: 'oct', alg: 'A256KW', k: value };
    expect((await call('PUT', '/keys/field-with-alg', { key })).status).toBe(200);
  });

  test.each([
    ['GET', '/ekm'],
    ['PATCH', '/ekm'],
    ['POST', '/ekm/create'],
    ['POST', '/ekm/check'],
    ['GET', '/ekm/certificate'],
    ['POST', '/ekm/privateendpoint/a'],
  ])('%s %s says that external key management is not there', async (method, path) => {
    const answer = await call(method, `${path}?api-version=2026-07-01-preview`);
    expect([answer.status, answer.text]).toEqual([
      501,
      expect.stringContaining('External key management (/ekm) is not available'),
    ]);
    expect((await stranger(method, path)).status).toBe(401);
  });
});

describe('paths', () => {
  test.each([
    ['GET', '/Keys/field-aes', undefined],
    ['GET', '/KEYS', undefined],
    ['GET', '/keys/field-aes/Versions', undefined],
    ['GET', '/DeletedKeys', undefined],
    ['POST', '/keys/field-aes/wrapKey', { alg: 'A256KW', value }],
    ['POST', '/keys/field-aes/WRAPKEY', { alg: 'A256KW', value }],
    ['POST', '/keys/field-aes/Sign', { alg: 'HS256', value }],
    ['POST', '/RNG', { count: 1 }],
    ['GET', '/providers/microsoft.authorization/roledefinitions', undefined],
  ])('are read without regard to case: %s %s (lowkey#1158, #785)', async (method, path, body) => {
    expect((await call(method, path, body)).status).toBe(200);
  });

  test.each([
    ['GET', '//keys', undefined, 200],
    ['GET', '/keys//', undefined, 200],
    ['GET', '/keys/field-aes//', undefined, 200],
    ['POST', '/keys//restore', { value: 'AAAA' }, 400],
    ['POST', '//keys//field-aes//wrapKey', { alg: 'A256KW', value }, 200],
    ['GET', '///providers/Microsoft.Authorization/roleAssignments', undefined, 200],
    ['GET', '//keys/providers/Microsoft.Authorization/roleAssignments', undefined, 200],
  ])(
    'with double slashes are the same: %s %s (azure-sdk-for-net#49496)',
    async (method, path, body, status) => {
      expect((await call(method, path, body)).status).toBe(status);
    },
  );

  test.each([
    ['field-aes', 'encrypt', { alg: 'A256GCM', value }],
    ['field-aes', 'wrapkey', { alg: 'A256KW', value }],
    ['field-aes', 'sign', { alg: 'HS256', value }],
    ['field-rsa', 'encrypt', { alg: 'RSA-OAEP', value }],
    ['field-rsa', 'sign', { alg: 'PS256', value }],
    ['field-ec', 'sign', { alg: 'ES256', value }],
  ])(
    'without a version, with an empty one and with one work alike: %s %s (AKE#419, #218; azure-rest-api-specs#42571)',
    async (name, operation, body) => {
      const { kid } = (await call('GET', `/keys/${name}`)).json<Bundle>().key;
      for (const path of [`/keys/${name}`, `/keys/${name}/`, new URL(kid).pathname]) {
        const answer = await call('POST', `${path}/${operation}`, body);
        expect([answer.status, answer.json<{ kid: string }>().kid]).toEqual([200, kid]);
      }
    },
  );

  test('a GET or DELETE is asked no Content-Type, and may have one (lowkey#1040)', async () => {
    await made('field-typed', { kty: 'EC' });
    const type = { 'Content-Type': 'application/json' };
    expect((await call('GET', '/keys/field-typed')).status).toBe(200);
    expect((await call('GET', '/keys/field-typed', undefined, type)).status).toBe(200);
    expect((await call('DELETE', '/keys/field-typed', undefined, type)).status).toBe(200);
    expect((await call('DELETE', '/deletedkeys/field-typed')).status).toBe(204);
  });
});

describe('keys', () => {
  test.each([
    ['no key_ops', {}],
    ['empty key_ops', { key_ops: [] }],
    ['null', { key_ops: null }],
  ])('made or imported with %s have operations (AKE#292)', async (_what, body) => {
    const created = await made('field-operations', { kty: 'RSA', ...body });
    expect(created.key.key_ops.length).toBeGreaterThan(0);
    const answer = await call('PUT', '/keys/field-operations', {
      key: { ...outsideEc('P-256').jwk, ...body },
    });
    expect(answer.json<Bundle>().key.key_ops).toEqual(expect.arrayContaining(['sign', 'verify']));
  });

  test('sign the digest itself, with the key that they show (AKE#389, #138; lowkey#651)', async () => {
    const message = Buffer.from('hashed once');
    const digest = createHash('sha256').update(message).digest();
    const [first, second] = [
      await made('field-mine', { kty: 'RSA' }),
      await made('field-theirs', { kty: 'RSA' }),
    ];
    const { value: signature } = (
      await call('POST', '/keys/field-mine/sign', {
        alg: 'RS256',
        value: digest.toString('base64url'),
      })
    ).json<{ value: string }>();
    const isBy = ({ key }: Bundle) =>
      verify(
        'sha256',
        message,
        createPublicKey({ key: { ...key, kty: 'RSA' }, format: 'jwk' }),
        Buffer.from(signature, 'base64url'),
      );
    expect([isBy(first), isBy(second)]).toEqual([true, false]);
    for (const length of [20, 31, 33, 64]) {
      const wrong = { alg: 'RS256', value: Buffer.alloc(length).toString('base64url') };
      expect((await call('POST', '/keys/field-mine/sign', wrong)).status).toBe(400);
    }
  });

  test('have coordinates of full width, also where they begin with zero (lowkey#1024)', async () => {
    const { d, x, y } = withLeadingZero();
    const jwk = { kty: 'EC', crv: 'P-256' };
    const answer = await call('PUT', '/keys/field-leading-zero', {
      key: { ...jwk, d: text(d), x: text(x), y: text(y) },
    });
    expect(answer.json<Bundle>().key).toMatchObject({ x: text(x), y: text(y) });
    expect(Buffer.from(answer.json<Bundle>().key.x ?? '', 'base64url')).toHaveLength(32);
    // Some writers leave the zero out: it is the same key.
    const short = await call('PUT', '/keys/field-leading-zero', {
      key: { ...jwk, d: text(d), x: text(x.subarray(1)), y: text(y) },
    });
    expect([short.status, short.json<Bundle>().key.x]).toEqual([200, text(x)]);
  });

  test('take bytes in base64 of either alphabet, and give base64url without padding (lowkey#1295, AKE#218)', async () => {
    const bytes = Buffer.alloc(32, 0xfb);
    for (const form of [bytes.toString('base64'), bytes.toString('base64url')]) {
      const wrapped = (
        await call('POST', '/keys/field-aes/wrapkey', { alg: 'A256KW', value: form })
      ).json<{ value: string }>();
      expect(wrapped.value).toMatch(/^[\w-]+$/);
      const back = await call('POST', '/keys/field-aes/unwrapkey', { alg: 'A256KW', ...wrapped });
      expect(back.json()).toMatchObject({ value: bytes.toString('base64url') });
    }
  });

  test('show nothing of a secret one, so that libraries do not try it themselves (azure-sdk-for-java#18161)', async () => {
    const { key } = (await call('GET', '/keys/field-aes')).json<Bundle>();
    expect([key.kty, Object.keys(key).sort()]).toEqual(['oct-HSM', ['key_ops', 'kid', 'kty']]);
  });

  test('of each size take the algorithms of their size only (floci-az#287)', async () => {
    for (const bits of [128, 192, 256]) await made(`sized-${bits}`, { kty: 'oct', key_size: bits });
    for (const key of [128, 192, 256])
      for (const named of [128, 192, 256])
        for (const [operation, alg, extra] of [
          ['encrypt', `A${named}GCM`, {}],
          ['encrypt', `A${named}CBCPAD`, { iv: Buffer.alloc(16).toString('base64url') }],
          ['wrapkey', `A${named}KW`, {}],
        ] as const) {
          const body = { alg, value, ...extra };
          const { status } = await call('POST', `/keys/sized-${key}/${operation}`, body);
          expect([key, alg, status]).toEqual([key, alg, key === named ? 200 : 400]);
        }
  });

  test('keep tags, dates and state through import (AKE#411, #330)', async () => {
    const answer = await call('PUT', '/keys/field-kept', {
      key: { ...outsideEc('P-521').jwk, key_ops: ['sign'] },
      attributes: { enabled: false, nbf: 1_600_000_000, exp: 4_102_444_800 },
      tags: { owner: 'finance' },
    });
    expect(answer.json<Bundle>()).toMatchObject({
      attributes: { enabled: false, nbf: 1_600_000_000, exp: 4_102_444_800 },
      tags: { owner: 'finance' },
      key: { key_ops: ['sign'] },
    });
    expect((await call('GET', '/keys/field-kept')).json()).toEqual(answer.json());
  });
});

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');

/** A P-256 key pair whose x begins with a zero byte: one in 256 does. */
function withLeadingZero() {
  const pair = createECDH('prime256v1');
  for (;;) {
    const point = pair.generateKeys();
    const d = pair.getPrivateKey();
    if (point[1] === 0 && d.length === 32)
      return { d, x: point.subarray(1, 33), y: point.subarray(33) };
  }
}

describe('identifiers', () => {
  test('follow the host of each request: none is kept from when the key was made (lowkey#1319; AKE#282, #464)', async () => {
    const host = { Host: 'main.strongroom.localhost:9443' };
    const there = (
      await call('POST', '/keys/field-moved/create', { kty: 'EC' }, host)
    ).json<Bundle>().key.kid;
    expect(there).toMatch(/^https:\/\/main\.strongroom\.localhost:9443\/keys\/field-moved\//);
    const here = (await call('GET', '/keys/field-moved')).json<Bundle>().key.kid;
    expect(here).toBe(there.replace('main.strongroom.localhost:9443', `localhost:${service.port}`));
    const signed = await call('POST', '/keys/field-moved/sign', { alg: 'ES256', value }, host);
    expect(signed.json<{ kid: string }>().kid).toBe(there);
    const page = (await call('GET', '/keys?maxresults=1', undefined, host)).json<Page>();
    expect(page.nextLink).toMatch(/^https:\/\/main\.strongroom\.localhost:9443\/keys\?/);
  });

  test('of the request come with every answer, refusals included (AKE#121)', async () => {
    const answers = await Promise.all([
      stranger('GET', '/keys'),
      call('GET', '/keys/nobody'),
      call('GET', '/keys/field-aes'),
      call('DELETE', '/deletedkeys/nobody'),
      call('GET', '/healthz'),
    ]);
    const ids = answers.map(({ headers }) => String(headers['x-ms-request-id']));
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('lists', () => {
  beforeAll(async () => {
    for (let index = 0; index < 7; index += 1) await made(`page-${index}`, { kty: 'EC' });
    for (let turn = 0; turn < 3; turn += 1) await made('page-0', { kty: 'EC' });
    await made('page-gone', { kty: 'EC' });
    await call('DELETE', '/keys/page-gone');
  });

  async function pages(
    first: string,
    between?: (seen: Page['value']) => Promise<unknown>,
  ): Promise<Page['value']> {
    const all: Page['value'] = [];
    for (let path: string | undefined = first; path !== undefined;) {
      const answer = await call('GET', path);
      expect([answer.status, path]).toEqual([200, path]);
      const page: Page = answer.json<Page>();
      all.push(...page.value);
      // As the libraries follow it: with their own version of the API added.
      path = page.nextLink && `${page.nextLink.replace(/^https:\/\/[^/]+/, '')}&api-version=7.5`;
      await between?.(all);
    }
    return all;
  }
  const nameOf = ({ kid }: { kid: string }) => new URL(kid).pathname;

  test('have each key once, without its versions and without the deleted (AKE#394, #399; lowkey#827)', async () => {
    const names = (await pages('/keys?maxresults=3')).map(nameOf);
    expect(names.filter((name) => name === '/keys/page-0')).toHaveLength(1);
    expect(names).not.toContain('/keys/page-gone');
    expect(names.every((name) => name.split('/').length === 3)).toBe(true);
    const deleted = (await pages('/deletedkeys')).map(nameOf);
    expect(deleted.filter((name) => name.startsWith('/keys/page-'))).toEqual(['/keys/page-gone']);
  });

  test('of versions begin with the oldest, and have disabled ones too (lowkey#467)', async () => {
    const before = await pages('/keys/page-0/versions?maxresults=2');
    expect(before).toHaveLength(4);
    const created = before.map(({ attributes }) => Number(attributes['created']));
    expect(created).toEqual([...created].sort((a, b) => a - b));
    await call('PATCH', nameOf(before[1] ?? { kid: '' }), { attributes: { enabled: false } });
    const after = await pages('/keys/page-0/versions?maxresults=2');
    expect(after.map(nameOf)).toEqual(before.map(nameOf));
    expect(after.map(({ attributes }) => attributes['enabled'])).toEqual([true, false, true, true]);
    expect((await call('GET', nameOf(before[1] ?? { kid: '' }))).status).toBe(200);
  });

  test('stay right while keys come and go between two pages (AKE#93)', async () => {
    let turn = 0;
    const names = (
      await pages('/keys?maxresults=2', async (seen) => {
        const isAtOurs = seen.some((key) => nameOf(key).startsWith('/keys/page-'));
        if (!isAtOurs || turn > 5) return;
        turn += 1;
        // Before and after where the reader is; and what it has seen goes away.
        await made(`aaa-${turn}`, { kty: 'EC' });
        await made(`zzz-${turn}`, { kty: 'EC' });
        if (turn === 3) await call('DELETE', '/keys/page-1');
      })
    ).map(nameOf);
    expect(turn).toBeGreaterThan(3);
    expect(new Set(names).size).toBe(names.length);
    for (const index of [0, 2, 3, 4, 5, 6]) expect(names).toContain(`/keys/page-${index}`);
  }, 60_000);

  test.each(['AAAA', '%00', 'x'.repeat(2000), '../../..'])(
    'are told nothing by a $skiptoken that nobody gave out: %#',
    async (token) => {
      expect([200, 400]).toContain((await call('GET', `/keys?$skiptoken=${token}`)).status);
    },
  );
});

describe('what is not there', () => {
  test.each(['/keys/nobody', '/keys/nobody/sign', '/deletedkeys/nobody'])(
    '%s: 404 with an error in Azure’s shape (AKE#169)',
    async (path) => {
      const answer = path.endsWith('sign')
        ? await call('POST', path, { alg: 'ES256', value })
        : await call('GET', path);
      expect([answer.status, answer.json()]).toEqual([
        404,
        { error: { code: 'KeyNotFound', message: expect.any(String) } },
      ]);
    },
  );

  test('a deleted key keeps its name until it is purged, then gives it away whole (AKE#369, #372)', async () => {
    const first = await made('field-again', { kty: 'EC', tags: { of: 'the first' } });
    await call('DELETE', '/keys/field-again');
    for (const [method, path, body] of [
      ['POST', '/keys/field-again/create', { kty: 'EC' }],
      ['PUT', '/keys/field-again', { key: outsideEc('P-256').jwk }],
    ] as const)
      expect((await call(method, path, body)).status).toBe(409);
    await call('DELETE', '/deletedkeys/field-again');
    const second = await made('field-again', { kty: 'EC' });
    expect(second).not.toHaveProperty('tags');
    expect((await call('GET', new URL(first.key.kid).pathname)).status).toBe(404);
    expect((await call('GET', '/keys/field-again/versions')).json<Page>().value).toHaveLength(1);
  });
});
