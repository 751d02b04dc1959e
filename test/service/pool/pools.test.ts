import { randomBytes, randomUUID } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { holdEveryRole, makePrincipal } from '../../support/administrator.ts';
import { type Answer, type Caller, createCaller } from '../../support/client.ts';
import { type CommandHost, openCommandHost } from '../../support/commands.ts';
import { ROLE } from '../../support/roles.ts';
import { listRoutes } from '../../support/routes.ts';
import { until } from '../../support/until.ts';
import { useService } from '../../support/use-service.ts';

/** Pools besides the default one, `main`: `second` of its tenant, `other` of a tenant of its own. */

const ASSIGNMENTS = '/providers/Microsoft.Authorization/roleAssignments';
const API = 'api-version=7.5';
const ARM_API = 'api-version=2026-05-15';

const { service, admin, adminToken, atEnd } = useService({ STRONGROOM_WORKERS: '1' });
let commands: CommandHost;
/** Who holds every role in `main`, and Administrator in `second`. */
let first: { readonly id: string; readonly token: string };
/** Who holds every role in `other`. */
let stranger: string;

/** A caller of a pool, by its host. */
function callerOf(pool: string, token?: string): Caller {
  const call = createCaller(service, token);
  atEnd(call);
  return (method, path, body, headers) =>
    call(method, path, body, { Host: hostOf(pool), ...headers });
}

const hostOf = (pool: string) => `${pool}.strongroom.localhost:${String(service.port)}`;

async function run(...words: string[]): Promise<string> {
  const environment = { STRONGROOM_DATA_DIR: service.dataFolder, PATH: process.env['PATH'] ?? '' };
  const ended = await commands.run(words, environment);
  if (ended.status !== 0) throw new Error(`strongroom ${words.join(' ')}: ${ended.words}`);
  return ended.words;
}

const codeOf = (answer: Answer) => answer.json<{ error: { code: string } }>().error.code;

/** Roles of `pool` for a principal, by who may. */
async function assign(by: Caller, principalId: string, roles: readonly string[]): Promise<void> {
  for (const roleDefinitionId of roles) {
    const properties = { roleDefinitionId, principalId };
    const answer = await by('PUT', `${ASSIGNMENTS}/${randomUUID()}`, { properties });
    expect([201, 409]).toContain(answer.status);
  }
}

beforeAll(async () => {
  await holdEveryRole(admin, service);
  commands = await openCommandHost();
  atEnd(commands);
  first = { id: service.client['AZURE_PRINCIPAL_ID'] ?? '', token: adminToken() };
  await run('pool', 'create', 'second', '--administrators', first.id, '--no-security-domain');
  const file = join(tmpdir(), `${randomUUID()}.json`);
  await run('pool', 'create', 'other', '--credentials', file, '--no-security-domain');
  const given = JSON.parse(await readFile(file, 'utf8')) as {
    clientId: string;
    clientSecret: string;
    principalId: string;
  };
  await rm(file);
  // A new pool is served within seconds, without a word to the service.
  await until(async () => (await callerOf('other')('GET', '/readyz')).status === 200);
  stranger = await tokenAt('other', given);
  await assign(callerOf('other', stranger), given.principalId, Object.values(ROLE));
}, 120_000);

async function tokenAt(
  pool: string,
  { clientId, clientSecret }: { readonly clientId: string; readonly clientSecret: string },
): Promise<string> {
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: clientId,
    client_secret: clientSecret,
    scope: 'https://strongroom.localhost/.default',
  });
  const answer = await callerOf(pool)('POST', '/adfs/oauth2/token', form.toString(), {
    'Content-Type': 'application/x-www-form-urlencoded',
  });
  if (answer.status !== 200) throw new Error(`no token: ${answer.text}`);
  return answer.json<{ access_token: string }>().access_token;
}

describe('a pool of the same tenant', () => {
  test('lets its Administrator give roles, and is used by whoever has them', async () => {
    const second = callerOf('second', first.token);
    const refused = await second('POST', `/keys/mine/create?${API}`, { kty: 'EC-HSM' });
    expect([refused.status, codeOf(refused)]).toEqual([403, 'AccessDenied']);
    const worker = await makePrincipal(admin, service);
    atEnd(worker.call);
    await assign(second, worker.id, [ROLE.user]);
    const made = await callerOf('second', worker.token)('POST', `/keys/mine/create?${API}`, {
      kty: 'EC-HSM',
    });
    expect(made.json<{ key: { kid: string } }>().key.kid).toMatch(
      new RegExp(`^https://${hostOf('second')}/keys/mine/[0-9a-f]{32}$`),
    );
    // Nothing of it is in the other pool, and its role gives nothing there.
    expect((await admin('GET', `/keys/mine?${API}`)).status).toBe(404);
    expect((await worker.call('GET', `/keys/mine?${API}`)).status).toBe(403);
  });

  test('goes by the directory of the default one: the same principals, changed there alone', async () => {
    const [here, there] = await Promise.all(
      ['main', 'second'].map((pool) => callerOf(pool, first.token)('GET', '/v1.0/applications')),
    );
    expect(there?.json()).toEqual(here?.json());
    // Administrator of the second pool alone: the directory isn't this pool's to change.
    const worker = await makePrincipal(admin, service);
    atEnd(worker.call);
    await assign(callerOf('second', first.token), worker.id, [ROLE.administrator]);
    for (const pool of ['main', 'second']) {
      const answer = await callerOf(pool, worker.token)('POST', '/v1.0/applications', {
        displayName: 'mine',
      });
      expect([pool, answer.status]).toEqual([pool, 403]);
    }
  });

  test('shuts out a principal that is disabled in the directory, within a second', async () => {
    const worker = await makePrincipal(admin, service);
    atEnd(worker.call);
    await assign(callerOf('second', first.token), worker.id, [ROLE.user]);
    const list = () => callerOf('second', worker.token)('GET', `/keys?${API}`);
    expect((await list()).status).toBe(200);
    const path = `/v1.0/servicePrincipals/${worker.id}`;
    expect((await admin('PATCH', path, { accountEnabled: false })).status).toBe(204);
    expect((await list()).status).toBe(401);
  });

  test('is no way up: nobody below Administrator joins what holds a role in it', async () => {
    const target = await makePrincipal(admin, service);
    atEnd(target.call);
    await assign(callerOf('second', first.token), target.id, [ROLE.user]);
    const writer = await makePrincipal(admin, service);
    atEnd(writer.call);
    const role = randomUUID();
    const definition = await admin(
      'PUT',
      `/providers/Microsoft.Authorization/roleDefinitions/${role}`,
      {
        properties: {
          roleName: `directory ${role}`,
          type: 'CustomRole',
          assignableScopes: ['/'],
          permissions: [{ dataActions: ['Strongroom/directory/*'], notDataActions: [] }],
        },
      },
    );
    expect([definition.status, definition.text]).toEqual([201, expect.anything()]);
    // It holds in `main` whatever the target holds in `second`, and that counts for nothing there.
    await assign(admin, writer.id, [role, ROLE.user]);
    const { value } = (await admin('GET', '/v1.0/servicePrincipals')).json<{
      value: { id: string; appId: string }[];
    }>();
    const appId = value.find(({ id }) => id === target.id)?.appId ?? '';
    const applications = (await admin('GET', '/v1.0/applications')).json<{
      value: { id: string; appId: string }[];
    }>();
    const application = applications.value.find((one) => one.appId === appId)?.id ?? '';
    const path = `/v1.0/applications/${application}/addPassword`;
    const refused = await writer.call('POST', path, {});
    expect([refused.status, codeOf(refused)]).toEqual([403, 'AccessDenied']);
    expect((await admin('POST', path, {})).status).toBe(200);
  });
});

/** Routes that somebody must be allowed: with values for what their paths name. */
const GUARDED = listRoutes()
  .filter(({ definition }) => definition !== undefined && definition.action !== 'public')
  .map(({ method, path }) => {
    const target = path
      .replace(/:(?:name|key)\b/, 'one')
      .replace(/:version\b/, '0'.repeat(32))
      .replace(/:location\b/, 'local')
      .replace(/:\w+/g, randomUUID());
    return [method, path, target] as const;
  });

const isControlPlane = (path: string) => path.startsWith('/subscriptions');

describe('rights in one pool are none in another', () => {
  test('there are as many routes as this suite thinks', () => {
    expect(GUARDED.length).toBeGreaterThan(100);
  });

  test.each(GUARDED)('%s %s', async (method, path, target) => {
    const ask = async (pool: string, token: string) => {
      const answer = await callerOf(pool, token)(method, `${target}?${API}`, bodyFor(method));
      return [pool, answer.status, method === 'HEAD' ? '' : answer.text.slice(0, 200)];
    };
    const nobody = await makePrincipalOnce();
    // Of another tenant: not even known.
    expect(await ask('main', stranger)).toEqual(['main', 401, expect.anything()]);
    expect(await ask('second', stranger)).toEqual(['second', 401, expect.anything()]);
    expect(await ask('other', first.token)).toEqual(['other', 401, expect.anything()]);
    // Of the same tenant, with every role in `main`: what is the pool's own is refused. The directory is `main`'s, and so is the control plane.
    if (path.startsWith('/v1.0') || isControlPlane(path)) return;
    // Whose job it is says who may ask how far it is: this is nobody's.
    const refused = path.includes(':jobId') ? 404 : 403;
    expect(await ask('second', nobody)).toEqual(['second', refused, expect.anything()]);
  });

  const CONTROL_PLANE = GUARDED.filter(([, path]) => isControlPlane(path));
  test.each(CONTROL_PLANE)('nor in the control plane: %s %s', async (method, _path, target) => {
    const call = callerOf('second', await makePrincipalOnce());
    const answer = await call(method, `${target}?${ARM_API}`, bodyFor(method));
    const code = answer.status === 403 && method !== 'HEAD' ? codeOf(answer) : answer.text;
    // A list shows nothing.
    expect([
      [200, '{"value":[]}'],
      [403, method === 'HEAD' ? '' : 'AuthorizationFailed'],
    ]).toContainEqual([answer.status, code]);
  });
});

const bodyFor = (method: string) => (method === 'GET' || method === 'HEAD' ? undefined : {});

let nobody: Promise<string> | undefined;
/** Who holds every role in `main`, and nothing in `second`. */
function makePrincipalOnce(): Promise<string> {
  nobody ??= (async () => {
    const { id, token, call } = await makePrincipal(admin, service);
    atEnd(call);
    await assign(admin, id, Object.values(ROLE));
    return token;
  })();
  return nobody;
}

describe('what one pool has given means nothing to another', () => {
  beforeAll(async () => {
    await assign(callerOf('second', first.token), first.id, Object.values(ROLE));
    for (const name of ['a', 'b'])
      for (const pool of ['main', 'second'])
        await callerOf(pool, first.token)('POST', `/keys/${name}/create?${API}`, { kty: 'EC-HSM' });
  });

  test('a cursor', async () => {
    const page = await admin('GET', `/keys?${API}&maxresults=1`);
    const next = new URL(page.json<{ nextLink: string }>().nextLink);
    const second = callerOf('second', first.token);
    expect((await second('GET', next.pathname + next.search)).status).toBe(400);
    expect((await admin('GET', next.pathname + next.search)).status).toBe(200);
  });

  test('a backup of a key', async () => {
    const { value } = (await admin('POST', `/keys/a/backup?${API}`)).json<{ value: string }>();
    const answer = await callerOf('second', first.token)('POST', `/keys/restore?${API}`, { value });
    expect([answer.status, codeOf(answer)]).toEqual([400, 'MalformedBackupBlob']);
  });

  test('a version of a key, and what it has encrypted', async () => {
    const made = await callerOf('second', first.token)('POST', `/keys/aes/create?${API}`, {
      kty: 'oct-HSM',
      key_size: 256,
    });
    const version = made.json<{ key: { kid: string } }>().key.kid.split('/').at(-1) ?? '';
    await admin('POST', `/keys/aes/create?${API}`, { kty: 'oct-HSM', key_size: 256 });
    const wrapped = await callerOf('second', first.token)('POST', `/keys/aes/wrapkey?${API}`, {
      alg: 'A256KW',
      value: randomBytes(32).toString('base64url'),
    });
    const { value } = wrapped.json<{ value: string }>();
    const unwrap = (path: string) =>
      admin('POST', `${path}/unwrapkey?${API}`, { alg: 'A256KW', value });
    expect((await unwrap(`/keys/aes/${version}`)).status).toBe(404);
    expect((await unwrap('/keys/aes')).status).toBe(400);
  });

  test('the audit log: each has the records of its own requests', async () => {
    const names = async (pool: string) => {
      const answer = await callerOf(pool, first.token)(
        'GET',
        '/audit/events?operation=KeyWrap&outcome=success',
      );
      return answer.json<{ value: { keyName: string }[] }>().value.map(({ keyName }) => keyName);
    };
    expect(await names('second')).toEqual(['aes']);
    expect(await names('main')).toEqual([]);
    expect(await run('audit', 'verify', '--pool', 'second')).toContain('is what was written');
    expect(await run('audit', 'verify', '--pool', 'other')).toContain('is what was written');
  }, 60_000);
});

test('a host that names no pool here is answered by none', async () => {
  for (const path of ['/keys', '/v1.0/users', '/adfs/discovery/v2.0/keys']) {
    const answer = await callerOf('nowhere', first.token)('GET', `${path}?${API}`);
    expect([path, answer.status, codeOf(answer)]).toEqual([path, 404, 'PoolNotFound']);
  }
});

test('a key may have the name of a step of signing in', async () => {
  const second = callerOf('second', first.token);
  for (const name of ['oauth2', 'discovery'])
    expect((await second('POST', `/keys/${name}/create?${API}`, { kty: 'EC-HSM' })).status).toBe(
      200,
    );
  expect((await second('GET', `/keys/oauth2/versions?${API}`)).status).toBe(200);
});

test('a deleted pool serves nothing within a second, and all of it again when it is recovered', async () => {
  await run('pool', 'create', 'third', '--administrators', first.id, '--no-security-domain');
  const third = callerOf('third', first.token);
  await until(async () => (await third('GET', ASSIGNMENTS)).status === 200);
  expect(await run('pool', 'delete', 'third')).toContain('can be recovered until');
  await until(async () => (await third('GET', ASSIGNMENTS)).status === 404);
  await until(async () => codeOf(await third('GET', `/keys?${API}`)) === 'PoolNotFound');
  expect(await run('pool', 'list')).toMatch(/^third: deleted /m);
  await expect(run('pool', 'create', 'third', '--administrators', first.id)).rejects.toThrow(
    'There is a deleted pool "third"',
  );
  await run('pool', 'recover', 'third');
  await until(async () => (await third('GET', ASSIGNMENTS)).status === 200);
});
