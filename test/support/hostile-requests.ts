import { generateKeyPairSync } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { isFullExtent } from './extent.ts';
import type { KnownRoute } from './routes.ts';
import { rsaKeyPair } from './rsa-keys.ts';

/** What a query must begin with: on the control plane a version is required. */
export function queryStart(path: string): string {
  return path.startsWith('/subscriptions') ? 'api-version=2026-05-15&' : '';
}

/** A request as it goes onto the wire; `path` is percent-encoded, or deliberately not. */
export interface HostileRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Keys that are there; the requests use the first ones, and change, delete and recover the others. */
export const FIXTURES = {
  used: { rsa: { kty: 'RSA' }, ec: { kty: 'EC' }, aes: { kty: 'oct' } },
  changed: { made: { kty: 'EC' }, doomed: { kty: 'EC' } },
} as const;

/** The key that a body is meant for, where it must be a certain one. */
type Sound = readonly [key: keyof (typeof FIXTURES)['used'] | undefined, body: object];

const bytes = (length: number) => Buffer.alloc(length, 0xfb).toString('base64url');
const GUID = '00000000-0000-4000-8000-000000000000';
const releasePolicy = {
  contentType: 'application/json; charset=utf-8',
  immutable: false,
  data: Buffer.from(
    JSON.stringify({
      version: '1.0.0',
      anyOf: [
        { authority: 'https://attest.example/', allOf: [{ claim: 'sdk-test', equals: true }] },
      ],
    }),
  ).toString('base64url'),
};
const attributes = { enabled: true, nbf: 1, exp: 32503680000, exportable: false };
const tags = { purpose: 'test' };
const storage = {
  storageResourceUri: 'https://storage.invalid/container',
  token: '?sv=1',
  useManagedIdentity: false,
};
/** Sound uses of the fixtures, by the end of the path: a key, and what it takes. */
const USES: readonly (readonly [RegExp, readonly Sound[]])[] = [
  [
    /(encrypt|decrypt)$/,
    [
      ['aes', { alg: 'A256GCM', value: bytes(32), iv: bytes(12), tag: bytes(16), aad: bytes(4) }],
      ['aes', { alg: 'A256GCM', value: bytes(32), aad: bytes(4) }],
      ['aes', { alg: 'A256CBC', value: bytes(32), iv: bytes(16) }],
      ['aes', { alg: 'A256CBCPAD', value: bytes(32), iv: bytes(16) }],
      ['rsa', { alg: 'RSA-OAEP', value: bytes(60) }],
      ['rsa', { alg: 'RSA-OAEP-256', value: bytes(256) }],
      ['rsa', { alg: 'RSA1_5', value: bytes(60) }],
    ],
  ],
  [
    /wrapkey$/,
    [
      ['aes', { alg: 'A256KW', value: bytes(40) }],
      ['aes', { alg: 'CKM_AES_KEY_WRAP', value: bytes(40) }],
      ['aes', { alg: 'CKM_AES_KEY_WRAP_PAD', value: bytes(24) }],
      ['rsa', { alg: 'RSA-OAEP', value: bytes(60) }],
      ['rsa', { alg: 'RSA1_5', value: bytes(256) }],
    ],
  ],
  [
    /sign$/,
    [
      ['ec', { alg: 'ES256', value: bytes(32) }],
      ['rsa', { alg: 'RS256', value: bytes(32) }],
      ['rsa', { alg: 'PS512', value: bytes(64) }],
      ['rsa', { alg: 'RSNULL', value: bytes(9) }],
      ['aes', { alg: 'HS256', value: bytes(9) }],
    ],
  ],
  [
    /verify$/,
    [
      ['ec', { alg: 'ES256', digest: bytes(32), value: bytes(64) }],
      ['rsa', { alg: 'PS256', digest: bytes(32), value: bytes(256) }],
      ['rsa', { alg: 'RSNULL', digest: bytes(32), value: bytes(256) }],
      ['aes', { alg: 'HS512', digest: bytes(9), value: bytes(64) }],
    ],
  ],
];
/** A .byok file for a key exchange key that isn't there. */
const transferBlob = (ciphertext: string) =>
  Buffer.from(
    JSON.stringify({
      schema_version: '1.0.0',
      header: {
        kid: `https://localhost/keys/rsa/${'0'.repeat(32)}`,
        alg: 'dir',
        enc: 'CKM_RSA_AES_KEY_WRAP',
      },
      ciphertext,
      generator: 'test',
    }),
  ).toString('base64url');
const jwkOf = (type: 'rsa' | 'ec') => {
  const { privateKey } =
    type === 'rsa' ? rsaKeyPair(2048) : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ format: 'jwk' });
};
/** Sound bodies, by the end of a route's path: what the hostile ones are made from. */
const SIGN = 'Microsoft.KeyVault/managedHsm/keys/sign/action';
const SOUND: readonly (readonly [RegExp, readonly object[]])[] = [
  [
    /\/create$/,
    [
      { kty: 'EC-HSM', crv: 'P-256', key_ops: ['sign', 'verify'], attributes, tags },
      { kty: 'oct-HSM', key_size: 256, attributes, tags },
      { kty: 'RSA-HSM', key_size: 2048, public_exponent: 65537, key_ops: ['sign'] },
      { kty: 'EC', attributes: { exportable: true }, release_policy: releasePolicy },
    ],
  ],
  [
    /^\/keys\/:name(\/:version)?$/,
    [
      { key: { ...jwkOf('rsa'), key_ops: ['sign'] }, attributes, tags, Hsm: true },
      { key: { ...jwkOf('ec'), kty: 'EC-HSM' }, tags },
      { key: { kty: 'oct-HSM', k: bytes(32) } },
      ...[bytes(0), bytes(300)].map((ciphertext) => ({
        key: { kty: 'EC-HSM', crv: 'P-256', key_hsm: transferBlob(ciphertext) },
      })),
      { key_ops: ['sign'], attributes, tags, release_policy: releasePolicy },
    ],
  ],
  [
    /rotationpolicy$/i,
    [
      {
        lifetimeActions: [
          {
            trigger: { timeAfterCreate: 'P30D', timeBeforeExpiry: null },
            action: { type: 'Rotate' },
          },
          { trigger: { timeBeforeExpiry: 'P30D' }, action: { type: 'Notify' } },
        ],
        attributes: { expiryTime: 'P1Y2M3DT4H5M6S' },
      },
    ],
  ],
  [/release$/, [{ target: 'e30.e30.AA', nonce: 'n', enc: 'CKM_RSA_AES_KEY_WRAP' }]],
  [/rng$/, [{ count: 16 }]],
  [/settings\/:\w+$/, [{ value: 'true' }]],
  [/\/restore$/, [{ value: bytes(600) }, { sasTokenParameters: storage, folderToRestore: 'f' }]],
  [/backup$/, [storage]],
  [/resourceGroups\/:group$/, [{ location: 'local', tags }]],
  [
    /managedHSMs\/:name$/,
    [
      {
        location: 'local',
        tags,
        sku: { family: 'B', name: 'Standard_B1' },
        identity: { type: 'None' },
        properties: {
          tenantId: GUID,
          initialAdminObjectIds: [GUID],
          enableSoftDelete: true,
          softDeleteRetentionInDays: '7',
          enablePurgeProtection: true,
          createMode: 'default',
          networkAcls: {
            bypass: 'None',
            defaultAction: 'Deny',
            ipRules: [{ value: '203.0.113.0/24' }],
            virtualNetworkRules: [{ id: 'x' }],
            serviceTags: [{ tag: 'x' }],
          },
          publicNetworkAccess: 'Enabled',
          regions: [{ name: 'local' }],
        },
      },
    ],
  ],
  [/checkMhsmNameAvailability$/, [{ name: 'x' }]],
  [
    /roleAssignments/,
    [
      {
        properties: {
          roleDefinitionId: GUID,
          principalId: GUID,
          description: 'd',
          expiresOn: '2090-01-01T00:00:00Z',
        },
      },
    ],
  ],
  [
    /roleDefinitions/,
    [
      {
        properties: {
          roleName: 'mine',
          description: 'd',
          type: 'CustomRole',
          assignableScopes: ['/'],
          permissions: [
            { actions: [], notActions: [], dataActions: ['Microsoft.KeyVault/managedHsm/keys/*'] },
          ],
        },
      },
    ],
  ],
  [/explain$/, [{ principalId: GUID, groups: [GUID], action: SIGN, scope: '/keys/a' }]],
  [
    /dryrun$/,
    [
      { changes: [{ type: 'assign', principalId: GUID, roleDefinitionId: GUID, scope: '/keys' }] },
      { changes: [{ type: 'revoke', name: GUID, scope: '/' }] },
      {
        changes: [
          {
            type: 'define',
            name: GUID,
            properties: { permissions: [{ dataActions: [SIGN], notDataActions: ['*'] }] },
          },
          { type: 'undefine', name: GUID },
        ],
      },
    ],
  ],
  [
    /^\/audit\/verify$/,
    [
      { after: 0, to: '2030-01-01T00:00:00Z' },
      { from: '2020-01-01T00:00:00Z', checkpoint: 'a.b.c' },
    ],
  ],
  [/applications$/, [{ displayName: 'x' }]],
  [
    /applications\/:id$/,
    [
      {
        keyCredentials: [
          {
            type: 'AsymmetricX509Cert',
            usage: 'Verify',
            key: Buffer.alloc(300, 0x30).toString('base64'),
            displayName: 'x',
          },
        ],
      },
    ],
  ],
  [
    /federatedIdentityCredentials$/,
    [
      {
        name: 'x',
        issuer: 'https://issuer.invalid',
        subject: 's',
        audiences: ['api://x'],
        description: 'd',
      },
    ],
  ],
  [/servicePrincipals$/, [{ appId: GUID }]],
  [/servicePrincipals\/:id$/, [{ accountEnabled: true }]],
  [
    /users(\/:user)?$/,
    [
      {
        displayName: 'x',
        userPrincipalName: 'x@example.org',
        accountEnabled: true,
        identities: [
          { signInType: 'federated', issuer: 'https://issuer.invalid', issuerAssignedId: 's' },
        ],
      },
    ],
  ],
  [/groups(\/:id)?$/, [{ displayName: 'x', description: 'd' }]],
  [/getMember(Groups|Objects)$/, [{ securityEnabledOnly: false }]],
  [/checkMemberGroups$/, [{ groupIds: [GUID] }]],
  [/checkMemberObjects$/, [{ ids: [GUID] }]],
  [/\$ref$/, [{ '@odata.id': `https://localhost/v1.0/directoryObjects/${GUID}` }]],
  [/getByIds$/, [{ ids: [GUID], types: ['user'] }]],
  [
    /token$/,
    [{ grant_type: 'client_credentials', client_id: GUID, client_secret: 'x', scope: '/.default' }],
  ],
  [
    /Password$/,
    [
      { passwordCredential: { displayName: 'x', endDateTime: '2030-01-01T00:00:00Z' } },
      { keyId: GUID },
    ],
  ],
];
/** For a route that has no line above: all names that any route knows. */
const EVERYTHING = Object.assign({}, ...SOUND.flatMap(([, bodies]) => bodies)) as unknown as object;
/** For those that read none. */
const UNREAD = { value: 'x' };
const BODILESS = /(rotate|recover)$/;

function soundOnes({ method, path }: KnownRoute): readonly Sound[] {
  if (method === 'DELETE' || method === 'OPTIONS' || BODILESS.test(path))
    return [[undefined, UNREAD]];
  const uses = USES.find(([end]) => end.test(path))?.[1];
  const bodies = SOUND.find(([end]) => end.test(path))?.[1] ?? [EVERYTHING];
  return uses ?? bodies.map((body) => [undefined, body] as const);
}

const isBodiless = (method: string) => method === 'GET' || method === 'HEAD';

const nested = (depth: number) => {
  let value: unknown = 1;
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { a: value };
  return value;
};
const nasty: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom('', 'AA', 'AAAA', null, bytes(16)),
  fc.constantFrom<unknown>(
    ...[null, true, 0, -1, 0.5, 2 ** 31, 2 ** 53, 1e308, -1e308, [], {}, [null], [[[]]]],
    ...['', ' ', '\0', '\ud800', '😀', '__proto__', 'constructor', 'A', '=', '!!!!', 'P99999999Y'],
    ...['true', '-1', '1e9', 'https://[', '/', '..', '9999-12-31T23:59:59Z', 'null', '٣'],
  ),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.integer({ min: 1, max: 20_000 }).map((length) => 'A'.repeat(length)),
  fc.nat(600).map(bytes),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true }),
  fc.array(fc.string(), { maxLength: 40 }),
  fc.integer({ min: 1, max: 2000 }).map(nested),
  fc.dictionary(fc.string(), fc.string(), { maxKeys: 20 }),
  fc.jsonValue(),
);

interface Mutation {
  readonly where: number;
  readonly how: 'replace' | 'remove' | 'add';
  readonly name: string;
  readonly value: unknown;
}
const mutation: fc.Arbitrary<Mutation> = fc.record({
  where: fc.nat(1000),
  how: fc.constantFrom('replace', 'replace', 'replace', 'remove', 'add'),
  name: fc.oneof(
    fc.constantFrom('__proto__', 'constructor', 'toString', 'hasOwnProperty', 'k', 'Hsm', 'then'),
    fc.string(),
  ),
  value: nasty,
});

type Place = readonly [holder: Record<string, unknown>, member: string];
/** Deeper than that, one place is as good as another. */
const DEPTH = 6;
function placesIn(value: unknown, depth = 0): Place[] {
  if (typeof value !== 'object' || value === null || depth > DEPTH) return [];
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).flatMap((member) => [
    [holder, member] as const,
    ...placesIn(holder[member], depth + 1),
  ]);
}

/** An assignment to `__proto__` would make no member. */
function define(holder: object, member: string, value: unknown): void {
  Object.defineProperty(holder, member, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  });
}

function mutate(sound: object, mutations: readonly Mutation[]): unknown {
  const root = { body: structuredClone(sound) as unknown };
  for (const { where, how, name, value } of mutations) {
    const places = placesIn(root);
    const place = places[where % Math.max(places.length, 1)];
    if (place === undefined) break;
    const [holder, member] = place;
    const target = holder[member];
    if (how === 'add' && typeof target === 'object' && target !== null && !Array.isArray(target))
      define(target, name, structuredClone(value));
    else if (how === 'remove' && holder !== root) Reflect.deleteProperty(holder, member);
    else define(holder, member, structuredClone(value));
  }
  return root.body;
}

/** What is wrong with the text itself, once it is JSON. */
const spoiling: fc.Arbitrary<(text: string) => Buffer> = fc.oneof(
  fc.constant((text: string) => gzipSync(text)),
  { weight: 12, arbitrary: fc.constant((text: string) => Buffer.from(text)) },
  fc.constant((text: string) => Buffer.from(text.slice(0, Math.floor(text.length / 2)))),
  fc.constant((text: string) => Buffer.from(`${text.slice(0, -1)},"alg":"RS256","alg":1}`)),
  fc.constant((text: string) => Buffer.from(`{"__proto__":{"alg":"RS256"},${text.slice(1)}`)),
  fc.constant((text: string) => Buffer.from(`\ufeff${text}`)),
  fc.constant((text: string) => Buffer.from(`${text}garbage`)),
  fc.constant((text: string) => Buffer.from(text.replaceAll(/:\d+/g, ':1e999'))),
  fc.constant((text: string) => Buffer.from(text, 'utf16le')),
  fc.constant(() => Buffer.from('[NaN]')),
  fc.constant(() => Buffer.from('{"a":"\xff\xfe"}', 'latin1')),
  fc.constant(() => Buffer.alloc(0)),
  fc.constant(() => Buffer.from('['.repeat(100_000))),
  // A few kilobytes that become a megabyte.
  fc.constant(() => gzipSync(`"${'A'.repeat(1 << 20)}"`)),
  fc.uint8Array({ maxLength: 60 }).map((random) => () => Buffer.from(random)),
  fc.constant((text: string) =>
    Buffer.from(
      new URLSearchParams(
        Object.entries((JSON.parse(text) ?? {}) as object).map(
          ([name, value]): [string, string] => [name, JSON.stringify(value)],
        ),
      ).toString(),
    ),
  ),
);

const contentHeaders: fc.Arbitrary<Record<string, string>> = fc.oneof(
  { weight: 8, arbitrary: fc.constant({ 'Content-Type': 'application/json' }) },
  fc
    .constantFrom(
      ...['application/json; charset=utf-16', 'application/json; charset=klingon', 'text/plain'],
      ...['multipart/form-data', 'application/x-www-form-urlencoded', ';', 'application/*'],
    )
    .map((type) => ({ 'Content-Type': type })),
  fc
    .constantFrom('gzip', 'br', 'deflate', 'zstd', 'identity', 'none')
    .map((encoding) => ({ 'Content-Type': 'application/json', 'Content-Encoding': encoding })),
);

const weirdSegment = fc.oneof(
  fc.constantFrom(
    ...['%zz', '%ff', '%00', '%', '..', '%2e%2e', '%2F', '__proto__', 'constructor', 'create'],
    ...['a%20b', "'%20or%201=1", '0'.repeat(32), 'a'.repeat(3000), 'null', 'providers', GUID, '-'],
  ),
  fc.string({ unit: 'grapheme' }).map((text) => encodeURIComponent(text)),
);

const SETTINGS = ['AllowRsa15', 'AllowKeyManagementOperationsThroughARM', 'allowrsa15', 'none'];

/** Values that a parameter of a path can have: mostly what the route expects, so that its body is read. */
function segment(
  parameter: string,
  key: string | undefined,
  isSetting: boolean,
): fc.Arbitrary<string> {
  if (isSetting) return fc.oneof(fc.constantFrom(...SETTINGS), weirdSegment);
  const names = key === undefined ? [...Object.keys(FIXTURES.changed), 'nobody'] : [key];
  const fitting: Readonly<Record<string, readonly string[]>> = {
    name: names,
    key: Object.keys(FIXTURES.used),
    version: ['0'.repeat(32), 'f'.repeat(32)],
    id: [GUID],
    tenant: ['adfs', GUID],
  };
  return fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...(fitting[parameter] ?? [GUID, ...names])) },
    weirdSegment,
  );
}

function pathText(path: string, key: string | undefined): fc.Arbitrary<string> {
  const parts = path
    .slice(1)
    .split('/')
    .map((part) =>
      part.startsWith(':')
        ? segment(part.slice(1), key, path.startsWith('/settings'))
        : fc.constant(part),
    );
  return fc.tuple(...parts).map((segments) => `/${segments.join('/')}`);
}

/** What the members of a body are tried with, one at a time. */
const WRONG: readonly unknown[] = [
  ...['', 'A', 'AA', '!!', '__proto__', '\0', 'A'.repeat(5000), bytes(5000)],
  ...[null, true, -1, 0, 1.5, 1e308, [], [null], {}],
];

/** Of the wrong values, every member meets one in so many: which ones differs from member to member. */
const STEP = isFullExtent ? 1 : 8;

/** Every sound body of a route with each of its members missing, or wrong in one of these ways. */
export function singleFaults(route: KnownRoute): readonly HostileRequest[] {
  const { method, path } = route;
  if (isBodiless(method)) return [];
  return soundOnes(route).flatMap(([key, sound]) => {
    const target = path.replace(/:(\w+)/g, (_all, parameter: string) =>
      path.startsWith('/settings')
        ? 'AllowRsa15'
        : parameter === 'name'
          ? (key ?? 'made')
          : parameter === 'tenant'
            ? 'adfs'
            : GUID,
    );
    const faults = placesIn({ body: sound }).flatMap((_place, where) => [
      { where, how: 'remove' as const, name: '', value: undefined },
      ...WRONG.filter((_value, index) => (where + index) % STEP === 0).map((value) => ({
        where,
        how: 'replace' as const,
        name: '',
        value,
      })),
    ]);
    return faults.map((fault) => ({
      method,
      path: `${target}?${queryStart(path)}`,
      headers: { 'Content-Type': 'application/json' },
      body: Buffer.from((JSON.stringify(mutate(sound, [fault])) as string | undefined) ?? ''),
    }));
  });
}

const queryText = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('api-version=2025-07-01', '') },
  fc.constantFrom(
    ...['maxresults=-1', 'maxresults=1e3', 'maxresults=5&maxresults=6', 'api-version=%00'],
    ...['$skiptoken=AAAA', '$skiptoken=%00', '$skiptoken=%F0%9F%98%80', '$filter=principalId eq'],
    ...['a[b]=c', '__proto__=1', '%zz', '=', '?', 'from=now&to=2020-01-01', '$filter=%27'],
  ),
  fc
    .tuple(
      fc.constantFrom('maxresults', '$skiptoken', '$filter', 'api-version', 'from', 'keyName'),
      fc.string({ unit: 'binary', maxLength: 30 }),
    )
    .map(([name, text]) => `${name}=${encodeURIComponent(text.replace(/\p{Cs}/gu, ''))}`),
);

/** What a Host header can hold besides a host. */
const hostHeader: fc.Arbitrary<Readonly<Record<string, string>>> = fc.oneof(
  { weight: 8, arbitrary: fc.constant({}) },
  fc
    .oneof(
      fc.constantFrom(
        ...['a.1', '1.2.3.4.5', '0x7f.1', 'localhost:99999', 'localhost:', 'localhost:0', ':443'],
        ...['[::1', '[::g]', '[fe80::1%25eth0]', '[::ffff:127.0.0.1]:8443', 'xn--a', 'a..b', '.'],
        ...['localhost, other.example', 'user@localhost', 'localhost/..', '%6c', '\u00e4', '', '-'],
        ...['main.strongroom.localhost.', '__proto__', '127.1', `${'a'.repeat(250)}.example`],
      ),
      fc.string({
        unit: fc.constantFrom('a', '1', '.', '-', ':', '[', ']', '%', '@'),
        maxLength: 12,
      }),
    )
    .map((Host) => ({ Host })),
);

/** Requests for one route that no sound client would send, though most of them get as far as its body being read. */
export function hostileRequests(route: KnownRoute): fc.Arbitrary<HostileRequest> {
  const { method, path } = route;
  return fc
    .constantFrom(...soundOnes(route))
    .chain(([key, sound]) =>
      fc.tuple(
        pathText(path, key),
        queryText,
        contentHeaders,
        fc
          .tuple(fc.array(mutation, { maxLength: 3 }), spoiling)
          .map(([mutations, spoil]) =>
            spoil((JSON.stringify(mutate(sound, mutations)) as string | undefined) ?? ''),
          ),
        hostHeader,
        fc.constantFrom(
          '',
          '',
          '',
          '',
          'https://localhost',
          'https://a.1',
          'http://localhost',
          '*',
        ),
      ),
    )
    .map(([where, query, headers, content, host, origin]) => {
      // Node's own client refuses a blank in a path.
      const target =
        `${origin}${where}?${queryStart(query.startsWith('api-version') ? '' : path)}${query}`.replaceAll(
          ' ',
          '%20',
        );
      const carried = isBodiless(method)
        ? { headers: host, body: Buffer.alloc(0) }
        : { headers: { ...headers, ...host }, body: content };
      return {
        method,
        path: target,
        ...carried,
        // As a counterexample is read best.
        [fc.toStringMethod]: () =>
          `${method} ${target} ${JSON.stringify(carried.headers)} ${carried.body.toString('latin1').slice(0, 1000)}`,
      };
    });
}
