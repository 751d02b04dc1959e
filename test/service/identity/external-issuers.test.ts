import { execFile } from 'node:child_process';
import { randomUUID, type webcrypto } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { decodeJwt, exportSPKI, generateKeyPair, importJWK, SignJWT } from 'jose';
import { makeClientCertificate } from '../../support/client-certificates.ts';
import { type Answer, type Caller, createCaller } from '../../support/client.ts';
import { assignRole, created, signInAdministrator } from '../../support/directory.ts';
import {
  type Claims,
  type OidcProvider,
  signToken,
  startProvider,
} from '../../support/oidc-provider.ts';
import { makePreparedFolder } from '../../support/prepared-folder.ts';
import { removeDataFolder, type RunningService, startService } from '../../support/service.ts';
import { ROLE } from '../../support/roles.ts';
import { until } from '../../support/until.ts';
import { within } from '../../support/within.ts';

/** Tokens of an OpenID provider that isn't ours (oidc-provider), against the whole service. */

const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const run = promisify(execFile);

const RESOURCE = 'https://strongroom.localhost';
const VALUE = Buffer.alloc(32, 7).toString('base64url');
const CALLERS = 6;
/** Between two calls of a caller under load. */
const PAUSE_MS = 10;
const client = (id: string, claims: Readonly<Record<string, unknown>> = {}) => ({
  id,
  secret: `the secret of ${id}`,
  claims: { tenant: 'acme', ...claims },
});

let folder: string;
let service: RunningService;
let admin: Caller & { close(): void };
let provider: OidcProvider;
/** Another one, whose keys change and which is stopped. */
let passing: OidcProvider;
/** Takes connections and never answers. */
let hanging: Awaited<ReturnType<typeof startHanging>>;
let open: Caller & { close(): void };

const issuersFile = () => join(folder, 'issuers.json');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  provider = await startProvider([
    client('billing', { name: 'Billing' }),
    client('member', { groups: ['engineers', 'others'] }),
    client('nobody'),
    client('linked'),
  ]);
  passing = await startProvider([client('steady')]);
  hanging = await startHanging();
  const common = { audiences: [RESOURCE], groupsClaim: 'groups', applicationClaim: 'client_id' };
  await writeFile(
    issuersFile(),
    JSON.stringify({
      issuers: [
        { ...common, issuer: provider.issuer, tenantId: 'acme', tenantClaim: 'tenant' },
        { ...common, issuer: passing.issuer },
        { ...common, issuer: hanging.issuer },
      ],
    }),
  );
  service = await startService(await makePreparedFolder(), {
    STRONGROOM_ISSUERS_FILE: issuersFile(),
  });
  admin = await signInAdministrator(service);
  open = createCaller(service);
  await created(admin('POST', '/keys/shared/create', { kty: 'oct-HSM' }));
}, 90_000);
afterAll(async () => {
  admin.close();
  open.close();
  await service.stop();
  await Promise.all([provider.kill(), passing.kill()]);
  hanging.close();
  await removeDataFolder(service.dataFolder);
  await rm(folder, { recursive: true, force: true });
});

async function startHanging() {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    issuer: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** As the command says it. */
async function objectId(issuer: string, claim: string, ...options: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [MAIN, 'object-id', issuer, claim, ...options]);
  return stdout.trim();
}

const wrap = (token: string): Promise<Answer> =>
  open(
    'POST',
    '/keys/shared/wrapkey',
    { alg: 'A256KW', value: VALUE },
    { Authorization: `Bearer ${token}` },
  );
const create = (token: string): Promise<Answer> =>
  open('POST', '/keys/another/create', { kty: 'oct-HSM' }, { Authorization: `Bearer ${token}` });

async function recordOf(answer: Answer): Promise<Record<string, unknown> | undefined> {
  const requestId = String(answer.headers['x-ms-request-id']);
  const { value } = await created<{ value: Record<string, unknown>[] }>(
    admin('GET', '/audit/events?maxresults=1000'),
  );
  return value.find((event) => event['requestId'] === requestId);
}

/** What it may, and what it may not. */
async function expectToWrapAndNoMore(token: string): Promise<void> {
  expect((await wrap(token)).status).toBe(200);
  const refused = await create(token);
  expect([refused.status, refused.json()]).toMatchObject([
    403,
    { error: { code: 'AccessDenied' } },
  ]);
}

describe("a provider's token", () => {
  test('does what the role of its subject says, and no more', async () => {
    const token = await provider.issue('billing', RESOURCE);
    expect((await wrap(token)).status).toBe(403);
    const principalId = await objectId(provider.issuer, 'billing');
    await assignRole(admin, ROLE.encryptionUser, principalId);
    await expectToWrapAndNoMore(token);
    expect(await recordOf(await wrap(token))).toMatchObject({
      status: 200,
      tenantId: 'acme',
      principalId,
      applicationId: 'billing',
      principalName: 'Billing',
    });
  });

  test('does what the role of a group in its claims says', async () => {
    const [member, nobody] = await Promise.all([
      provider.issue('member', RESOURCE),
      provider.issue('nobody', RESOURCE),
    ]);
    expect((await wrap(member)).status).toBe(403);
    const group = await objectId(provider.issuer, 'engineers', '--group');
    await assignRole(admin, ROLE.encryptionUser, group);
    await expectToWrapAndNoMore(member);
    expect((await wrap(nobody)).status).toBe(403);
  });

  test('is that of a user of the directory who has its subject as an identity, until the user is disabled', async () => {
    const user = await created<{ id: string }>(
      admin('POST', '/v1.0/users', {
        displayName: 'Somebody',
        userPrincipalName: 'somebody@example.com',
        identities: [
          { signInType: 'federated', issuer: provider.issuer, issuerAssignedId: 'linked' },
        ],
      }),
    );
    await assignRole(admin, ROLE.encryptionUser, user.id);
    const token = await provider.issue('linked', RESOURCE);
    await expectToWrapAndNoMore(token);
    expect(await recordOf(await wrap(token))).toMatchObject({
      principalId: user.id,
      principalName: 'Somebody',
    });
    await created(admin('PATCH', `/v1.0/users/${user.id}`, { accountEnabled: false }));
    // On connections of their own: both processes have heard of it.
    await within(1_000, async () => {
      const answers = await Promise.all(Array.from({ length: 8 }, () => wrap(token)));
      return answers.every(({ status }) => status === 401);
    });
    await created(admin('PATCH', `/v1.0/users/${user.id}`, { accountEnabled: true }));
    await within(1_000, async () => (await wrap(token)).status === 200);
  });
});

describe('a token without the groups claim of its issuer', () => {
  const ROLES = '/providers/Microsoft.Authorization';
  let principalId: string;
  let group: string;
  beforeAll(async () => {
    principalId = await objectId(provider.issuer, 'billing');
    group = await objectId(provider.issuer, 'secretive', '--group');
    await assignRole(admin, ROLE.officer, principalId);
  });

  /** The same subject, with other claims. */
  async function by(groups: unknown) {
    const claims = decodeJwt(await provider.issue('billing', RESOURCE));
    const token = await signToken(provider.key, { ...claims, groups });
    const headers = { Authorization: `Bearer ${token}` };
    return {
      assign: (to: string, roleDefinitionId: string = ROLE.encryptionUser) =>
        open(
          'PUT',
          `/keys/shared${ROLES}/roleAssignments/${randomUUID()}`,
          { properties: { roleDefinitionId, principalId: to } },
          headers,
        ),
      define: (id: string, dataActions: readonly string[]) =>
        open(
          'PUT',
          `${ROLES}/roleDefinitions/${id}`,
          { properties: { roleName: id, permissions: [{ dataActions }] } },
          headers,
        ),
    };
  }

  test.each([
    ['lacks it', undefined],
    ['has it as a text', 'others'],
    ['has too much in it', Array.from({ length: 201 }, (_, n) => `group ${n}`)],
  ])('grants nothing to what may be a group of its holder, where it %s', async (_, groups) => {
    const { assign, define } = await by(groups);
    for (const to of [group, principalId, randomUUID()])
      expect([(await assign(to)).status]).toEqual([403]);
    // Nor by a role that one of them holds.
    const held = randomUUID();
    const read = ['Microsoft.KeyVault/managedHsm/keys/read/action'];
    await created(
      admin('PUT', `${ROLES}/roleDefinitions/${held}`, {
        properties: { roleName: held, permissions: [{ dataActions: read }] },
      }),
    );
    await assignRole(admin, held, randomUUID());
    expect((await define(held, ['Microsoft.KeyVault/managedHsm/keys/*'])).status).toBe(403);
    // It may do the rest of its work.
    expect((await define(randomUUID(), read)).status).toBe(201);
    const user = await created<{ id: string }>(
      admin('POST', '/v1.0/users', {
        displayName: 'Of the directory',
        userPrincipalName: `${randomUUID()}@example.com`,
      }),
    );
    expect((await assign(user.id)).status).toBe(201);
  });

  test('is another matter than one that says that there are none, or others', async () => {
    const { assign } = await by(['secretive']);
    expect((await assign(group)).status).toBe(403);
    expect((await assign(await objectId(provider.issuer, 'free', '--group'))).status).toBe(201);
    const none = await by([]);
    expect((await none.assign(randomUUID())).status).toBe(201);
    expect((await none.assign(principalId)).status).toBe(403);
  });
});

describe('a token is refused, with the challenge and a record that says why', () => {
  interface Parts {
    readonly claims: Claims;
    readonly seconds: number;
    sign(claims: Claims, header?: Readonly<Record<string, unknown>>): Promise<string>;
  }
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
  /** Another token by the provider's key, so that only what is said of it is wrong. */
  const withClaims =
    (changes: (parts: Parts) => Claims) =>
    (parts: Parts): Promise<string> =>
      parts.sign({ ...parts.claims, ...changes(parts) });
  const withHeader = (header: () => object | Promise<object>) => async (parts: Parts) =>
    parts.sign(parts.claims, { ...(await header()) });
  /** Keyed with what everybody knows. */
  const hmac = (secretOf: () => Promise<string>) => async (parts: Parts) =>
    new SignJWT(parts.claims)
      .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid: provider.key.kid })
      .sign(new TextEncoder().encode(await secretOf()));
  const attacker = generateKeyPair('RS256', { extractable: true });

  test('but for what is wrong with each of these it would be taken', async () => {
    const claims = decodeJwt(await provider.issue('billing', RESOURCE));
    expect((await wrap(await signToken(provider.key, claims))).status).toBe(200);
  });

  /** What is wrong, such a token, and what the audit log says of it. */
  const table: readonly (readonly [string, (parts: Parts) => Promise<string>, RegExp])[] = [
    ['for another audience', withClaims(() => ({ aud: 'https://elsewhere.example' })), /resource/],
    [
      'for another audience, by the provider itself',
      () => provider.issue('billing', 'https://elsewhere.example'),
      /resource/,
    ],
    ['for no audience', withClaims(() => ({ aud: undefined })), /resource/],
    ['of an unknown issuer', withClaims(() => ({ iss: 'https://elsewhere.example' })), /issuer/],
    [
      'of an issuer with a slash more',
      withClaims(() => ({ iss: `${provider.issuer}/` })),
      /issuer/,
    ],
    [
      'of another issuer that is trusted, by this one',
      withClaims(() => ({ iss: passing.issuer })),
      /signature/,
    ],
    ['that has expired', withClaims(({ seconds }) => ({ exp: seconds - 3600 })), /expired/],
    ['without an end', withClaims(() => ({ exp: undefined })), /lacks a claim/],
    ['that is not valid yet', withClaims(({ seconds }) => ({ nbf: seconds + 3600 })), /yet/],
    ['of another tenant', withClaims(() => ({ tenant: 'umbrella' })), /another tenant/],
    ['of no tenant', withClaims(() => ({ tenant: undefined })), /another tenant/],
    ['without a subject', withClaims(() => ({ sub: undefined })), /holder/],
    [
      'with other claims than were signed',
      async (parts) => {
        const [header, , signature] = (await parts.sign(parts.claims)).split('.');
        return `${header ?? ''}.${encode({ ...parts.claims, sub: 'linked' })}.${signature ?? ''}`;
      },
      /signature/,
    ],
    [
      'with alg none',
      ({ claims }) =>
        Promise.resolve(`${encode({ alg: 'none', typ: 'at+jwt' })}.${encode(claims)}.AA`),
      /algorithm/,
    ],
    [
      'with alg none and no signature',
      ({ claims }) =>
        Promise.resolve(`${encode({ alg: 'none', typ: 'at+jwt' })}.${encode(claims)}.`),
      /bearer token/,
    ],
    [
      'with the public key as secret of an HMAC, as PEM',
      hmac(async () => {
        const key = await importJWK(provider.key.publicJwk, 'RS256', { extractable: true });
        return exportSPKI(key as webcrypto.CryptoKey);
      }),
      /algorithm/,
    ],
    [
      'with the public key as secret of an HMAC, as JWK',
      hmac(() => Promise.resolve(JSON.stringify(provider.key.publicJwk))),
      /algorithm/,
    ],
    [
      'with a key that the issuer does not have',
      async ({ claims }) =>
        signToken({ kid: 'unheard-of', privateKey: (await attacker).privateKey }, claims),
      /key that its issuer does not have/,
    ],
    [
      "by another key under the issuer's key id",
      async ({ claims }) =>
        signToken({ kid: provider.key.kid, privateKey: (await attacker).privateKey }, claims),
      /signature/,
    ],
    [
      'with jku in its header',
      withHeader(() => ({ jku: 'https://elsewhere.example/keys' })),
      /header/,
    ],
    [
      'with x5u in its header',
      withHeader(() => ({ x5u: 'https://elsewhere.example/chain.pem' })),
      /header/,
    ],
    ['with jwk in its header', withHeader(() => ({ jwk: provider.key.publicJwk })), /header/],
    [
      'with x5c in its header',
      withHeader(async () => {
        const { certificate } = await makeClientCertificate();
        return { x5c: [certificate.replaceAll(/-----[A-Z ]+-----|\s/g, '')] };
      }),
      /header/,
    ],
    [
      'with a crit that nobody knows',
      ({ claims }) =>
        Promise.resolve(
          `${encode({ alg: 'RS256', kid: provider.key.kid, crit: ['urn:x'], 'urn:x': 1 })}.${encode(claims)}.AA`,
        ),
      /header/,
    ],
  ];

  test.each(table)('%s', async (_what, make, reason) => {
    const claims = decodeJwt(await provider.issue('billing', RESOURCE));
    const token = await make({
      claims,
      seconds: Math.floor(Date.now() / 1000),
      sign: (changed, header) => signToken(provider.key, changed, header),
    });
    const answer = await wrap(token);
    const authority = `https://localhost:${service.port}/adfs`;
    expect([answer.status, answer.headers['www-authenticate'], answer.text]).toEqual([
      401,
      `Bearer authorization="${authority}", resource="${RESOURCE}:${service.port}"`,
      '',
    ]);
    const record = await recordOf(answer);
    expect(record).toMatchObject({
      operation: 'Authentication',
      outcome: 'failure',
      status: 401,
      errorCode: 'Unauthorized',
      reason: expect.stringMatching(reason),
    });
    expect(record).not.toHaveProperty('principalId');
    expect(JSON.stringify(record)).not.toContain(token.split('.')[1]);
  });
});

describe('strongroom serve', () => {
  test('does not start with a wrong issuers file: it names file and line', async () => {
    const file = join(folder, 'wrong.json');
    await writeFile(
      file,
      '{\n  "issuers": [\n    {\n      "issuer": "http://x.example"\n    }\n  ]\n}\n',
    );
    const failing = run(process.execPath, [MAIN, 'serve'], {
      env: {
        PATH: process.env['PATH'],
        STRONGROOM_DATA_DIR: join(folder, randomUUID()),
        STRONGROOM_LISTEN: '127.0.0.1:0',
        STRONGROOM_METRICS_LISTEN: '',
        STRONGROOM_IDENTITY_LISTEN: '',
        STRONGROOM_ISSUERS_FILE: file,
      },
    });
    await expect(failing).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        new RegExp(
          `^strongroom: STRONGROOM_ISSUERS_FILE: ${file}: line 4: issuers.0.issuer: `,
          'm',
        ),
      ),
    });
  });
});

describe('while many call', () => {
  beforeAll(async () => {
    await assignRole(admin, ROLE.encryptionUser, await objectId(passing.issuer, 'steady'));
  });

  /** Calls until it is told to end; each call takes a token of `next`. */
  function load(next: () => Promise<string>) {
    const statuses: Record<number, number> = {};
    let answers = 0;
    let isOver = false;
    const calling = Promise.all(
      Array.from({ length: CALLERS }, async () => {
        while (!isOver) {
          const { status } = await wrap(await next());
          statuses[status] = (statuses[status] ?? 0) + 1;
          answers += 1;
          await delay(PAUSE_MS);
        }
      }),
    );
    return {
      /** Resolves when each caller has had so many more answers, about. */
      async more(each: number) {
        const enough = answers + each * CALLERS;
        await until(() => answers >= enough);
      },
      /** Resolves with how often which status came. */
      async end() {
        isOver = true;
        await calling;
        return statuses;
      },
    };
  }

  const newest: string[] = [];

  test("none is refused when the provider's keys change: old tokens and new ones are taken", async () => {
    newest.push(await passing.issue('steady', RESOURCE));
    let turn = 0;
    const calls = load(async () => {
      turn += 1;
      // Every fourth one is new; the others are any that there are, of all keys.
      if (turn % 4 === 0) newest.push(await passing.issue('steady', RESOURCE));
      return newest[(turn * 7) % newest.length] ?? '';
    });
    for (let rotations = 0; rotations < 3; rotations += 1) {
      await calls.more(8);
      await passing.rotate();
    }
    await calls.more(24);
    const statuses = await calls.end();
    const kids = new Set(newest.map((token) => token.split('.')[0]));
    console.info(
      `3 rotations, ${newest.length} tokens of ${kids.size} keys: ${JSON.stringify(statuses)}`,
    );
    expect(kids.size).toBe(4);
    expect(Object.keys(statuses)).toEqual(['200']);
  });

  test('none is refused when the provider is killed: its keys are known', async () => {
    const claims = decodeJwt(await passing.issue('steady', RESOURCE));
    let fresh = 0;
    const calls = load(() => {
      fresh += 1;
      // Such as the provider would have issued a moment before; nobody has seen it yet.
      return signToken(passing.key, { ...claims, jti: `fresh-${fresh}` });
    });
    await calls.more(8);
    await passing.kill();
    await calls.more(24);
    const statuses = await calls.end();
    console.info(`the provider was killed: ${JSON.stringify(statuses)}`);
    expect(Object.keys(statuses)).toEqual(['200']);
  });

  test('none waits for a provider that hangs but those who bring its tokens', async () => {
    const { privateKey } = await generateKeyPair('RS256');
    const seconds = Math.floor(Date.now() / 1000);
    const hopeless = await signToken(
      { kid: 'any', privateKey },
      { iss: hanging.issuer, aud: RESOURCE, sub: 'somebody', exp: seconds + 600 },
    );
    let answered = 0;
    const pending = createCaller(service);
    const waiting = Array.from({ length: 24 }, async () => {
      const { status } = await pending('GET', '/keys/shared', undefined, {
        Authorization: `Bearer ${hopeless}`,
      });
      answered += 1;
      return status;
    });
    const token = await provider.issue('billing', RESOURCE);
    const calls = load(() => Promise.resolve(token));
    await calls.more(24);
    const statuses = await calls.end();
    // All of the load went by while every one of those waited.
    expect([Object.keys(statuses), answered]).toEqual([['200'], 0]);
    hanging.close();
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([401]));
    pending.close();
  });
});
