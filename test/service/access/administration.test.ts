import { describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { type Caller, createCaller, fetchToken } from '../../support/client.ts';
import { ROLE } from '../../support/roles.ts';
import { useSharedService } from '../../support/use-service.ts';

const ROLES = '/providers/Microsoft.Authorization';
/** Whom nobody else knows. */
const NOBODY = randomUUID();

interface Failure {
  error: { code: string; message: string };
}
interface Assignment {
  name: string;
  id: string;
  properties: { principalId: string; roleDefinitionId: string; scope: string };
}
interface Event {
  id: string;
  operation: string;
  outcome: string;
  status: number;
  time: string;
  requestId: string;
  keyName?: string;
  principalId?: string;
}
type Client = Caller & { close(): void };

const { service, admin, atEnd } = useSharedService();
const began = new Date();

function signedIn(token: string): Client {
  const client = createCaller(service, token);
  atEnd(client);
  return client;
}

async function makePrincipal(displayName: string) {
  const application = (await admin('POST', '/v1.0/applications', { displayName })).json<{
    id: string;
    appId: string;
  }>();
  const password = (
    await admin('POST', `/v1.0/applications/${application.id}/addPassword`, {})
  ).json<{ secretText: string; keyId: string }>();
  const { id } = (
    await admin('POST', '/v1.0/servicePrincipals', { appId: application.appId })
  ).json<{ id: string }>();
  const credentials = { clientId: application.appId, clientSecret: password.secretText };
  return {
    id,
    application,
    password,
    credentials,
    call: signedIn(await fetchToken(service, credentials)),
  };
}

function assign(
  by: Caller,
  roleId: string,
  principalId: string,
  scope = '',
  name: string = randomUUID(),
) {
  return by('PUT', `${scope}${ROLES}/roleAssignments/${name}`, {
    properties: {
      roleDefinitionId: `Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/${roleId}`,
      principalId,
    },
  });
}

describe('role assignments', () => {
  test('are made, read, listed and removed, at the scope of their path', async () => {
    const name = randomUUID();
    const made = await assign(admin, ROLE.user, NOBODY, '/keys/One', name);
    expect([made.status, made.json<Assignment>()]).toEqual([
      201,
      {
        id: `/keys/one/providers/Microsoft.Authorization/roleAssignments/${name}`,
        name,
        properties: {
          principalId: NOBODY,
          roleDefinitionId: `Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/${ROLE.user}`,
          scope: '/keys/one',
        },
        type: 'Microsoft.Authorization/roleAssignments',
      },
    ]);
    const one = `/keys/one${ROLES}/roleAssignments/${name}`;
    expect((await admin('GET', one)).json()).toEqual(made.json());
    expect((await admin('GET', `${ROLES}/roleAssignments/${name}`)).status).toBe(404);
    const listed = async (path: string) =>
      (await admin('GET', path)).json<{ value: Assignment[] }>().value.map((each) => each.name);
    expect(await listed(`/keys/one${ROLES}/roleAssignments`)).toContain(name);
    expect(await listed(`${ROLES}/roleAssignments`)).not.toContain(name);
    expect(await listed(`${ROLES}/roleAssignments?$filter=principalId%20eq%20'${NOBODY}'`)).toEqual(
      [name],
    );
    expect(await listed(`/keys/one${ROLES}/roleAssignments?$filter=atScope()`)).toContain(name);
    expect((await admin('DELETE', one)).json()).toEqual(made.json());
    const gone = await admin('DELETE', one);
    expect([gone.status, gone.json<Failure>().error.code]).toEqual([404, 'RoleAssignmentNotFound']);
  });

  test('repeated with the same content are no error; another content under the name, or another name, is a conflict', async () => {
    const name = randomUUID();
    expect((await assign(admin, ROLE.user, NOBODY, '', name)).status).toBe(201);
    expect((await assign(admin, ROLE.user, NOBODY, '', name)).status).toBe(201);
    for (const again of [
      await assign(admin, ROLE.officer, NOBODY, '', name),
      await assign(admin, ROLE.user, NOBODY),
    ])
      expect([again.status, again.json<Failure>().error.code]).toEqual([
        409,
        'RoleAssignmentExists',
      ]);
  });

  test.each([
    ['no GUID', ROLE.user, NOBODY, 'not-a-guid', 400, 'BadParameter'],
    ['an unknown role', randomUUID(), NOBODY, randomUUID(), 404, 'RoleDefinitionNotFound'],
    ['no principal', ROLE.user, '', randomUUID(), 400, 'BadParameter'],
  ])('with %s are refused', async (_why, role, principalId, name, status, code) => {
    const answer = await assign(admin, role, principalId, '', name);
    expect([answer.status, answer.json<Failure>().error.code]).toEqual([status, code]);
  });

  test('to what is no id, but the name of a user or an application, are refused with the id to use', async () => {
    const { id, application } = await makePrincipal('named');
    const userPrincipalName = 'Dora@Example.com';
    const { id: userId } = (
      await admin('POST', '/v1.0/users', { displayName: 'Dora', userPrincipalName })
    ).json<{ id: string }>();
    for (const [principalId, right] of [
      [application.appId, id],
      [application.id, id],
      [userPrincipalName, userId],
      ['dora@example.COM', userId],
    ] as const) {
      const { status, ...answer } = await assign(admin, ROLE.user, principalId);
      const { error } = answer.json<{ error: { code: string; message: string } }>();
      expect([principalId, status, error.code]).toEqual([principalId, 400, 'BadParameter']);
      expect(error.message).toContain(right);
    }
    expect((await assign(admin, ROLE.user, userId)).status).toBe(201);
    // Of another issuer's principals nothing is known here.
    expect((await assign(admin, ROLE.user, 'erin@example.com')).status).toBe(201);
  });

  test('take effect at once, and end at once', async () => {
    const { id, call } = await makePrincipal('revoked');
    const name = randomUUID();
    for (let turn = 0; turn < 5; turn += 1) {
      expect((await call('GET', '/keys')).status).toBe(403);
      await assign(admin, ROLE.user, id, '', name);
      expect((await call('GET', '/keys')).status).toBe(200);
      await admin('DELETE', `${ROLES}/roleAssignments/${name}`);
      // The two worker processes may each serve this: the one that didn't remove it has a second to hear of it.
      await expectWithinASecond(async () => (await call('GET', '/keys')).status === 403);
    }
  });

  async function expectWithinASecond(condition: () => Promise<boolean>): Promise<void> {
    const end = Date.now() + 1_000;
    let isTrue = await condition();
    while (!isTrue && Date.now() < end) isTrue = await condition();
    expect(isTrue).toBe(true);
  }
});

describe('no way up', () => {
  test('an Officer makes nobody Administrator or Officer, and gives itself nothing; others it may give the use of keys', async () => {
    const officer = await makePrincipal('officer');
    const other = await makePrincipal('other');
    await assign(admin, ROLE.officer, officer.id);
    const by = (role: string, principalId: string) => assign(officer.call, role, principalId);
    for (const refused of [
      await by(ROLE.administrator, officer.id),
      await by(ROLE.administrator, other.id),
      await by(ROLE.officer, other.id),
      await by(ROLE.user, officer.id),
    ])
      expect([refused.status, refused.json<Failure>().error.code]).toEqual([403, 'AccessDenied']);
    expect((await by(ROLE.user, other.id)).status).toBe(201);
    expect((await officer.call('GET', '/keys')).status).toBe(403);
    expect((await officer.call('POST', '/v1.0/applications', { displayName: 'x' })).status).toBe(
      403,
    );
    expect((await officer.call('GET', '/audit/events')).status).toBe(403);
  });

  test('a caller without the role is refused before its body is looked at', async () => {
    const { call } = await makePrincipal('nosy');
    for (const body of ['{', '[]', 'x'.repeat(400_000)])
      expect((await call('POST', '/keys/any/create', body)).status).toBe(403);
  });

  test('a holder at one key assigns at that key only', async () => {
    const local = await makePrincipal('local officer');
    await assign(admin, ROLE.officer, local.id, '/keys/theirs');
    expect((await assign(local.call, ROLE.user, NOBODY, '/keys/theirs')).status).toBe(201);
    for (const scope of ['', '/keys', '/keys/others'])
      expect((await assign(local.call, ROLE.user, NOBODY, scope)).status).toBe(403);
  });

  test('a key made anew after a purge does not come with the old grants', async () => {
    const { id, call } = await makePrincipal('former');
    await admin('POST', '/keys/reborn/create', { kty: 'oct' });
    await assign(admin, ROLE.user, id, '/keys/reborn');
    expect((await call('GET', '/keys/reborn')).status).toBe(200);
    await admin('DELETE', '/keys/reborn');
    await admin('DELETE', '/deletedkeys/reborn');
    await admin('POST', '/keys/reborn/create', { kty: 'oct' });
    expect((await call('GET', '/keys/reborn')).status).toBe(403);
  });
});

describe('the directory', () => {
  test('shows a secret once, and never again', async () => {
    const { application, password } = await makePrincipal('secretive');
    const shown = await admin('GET', `/v1.0/applications/${application.id}`);
    expect(shown.json()).toMatchObject({ passwordCredentials: [{ keyId: password.keyId }] });
    expect(shown.text).not.toContain(password.secretText);
    const found = await admin(
      'GET',
      `/v1.0/applications?$filter=appId%20eq%20'${application.appId}'`,
    );
    expect(found.json<{ value: unknown[] }>().value).toHaveLength(1);
  });

  test('a removed secret gets no token; a deleted principal’s tokens end at once', async () => {
    const { id, application, password, credentials, call } = await makePrincipal('leaving');
    await assign(admin, ROLE.user, id);
    expect((await call('GET', '/keys')).status).toBe(200);
    await admin('POST', `/v1.0/applications/${application.id}/removePassword`, {
      keyId: password.keyId,
    });
    await expect(fetchToken(service, credentials)).rejects.toThrow('invalid_client');
    await admin('DELETE', `/v1.0/servicePrincipals/${id}`);
    let { status } = await call('GET', '/keys');
    for (const end = Date.now() + 1_000; status === 200 && Date.now() < end;)
      ({ status } = await call('GET', '/keys'));
    expect(status).toBe(401);
  });

  test.each([{}, { displayName: '' }, { displayName: 'a\nb' }, { displayName: 'x'.repeat(257) }])(
    'refuses an application of %j',
    async (body) => {
      expect((await admin('POST', '/v1.0/applications', body)).status).toBe(400);
    },
  );
});

describe('the audit log', () => {
  test('says who did what to which key, refusals included, and is found by any of it', async () => {
    const { id, call } = await makePrincipal('watched');
    await admin('POST', '/keys/watched/create', { kty: 'oct' });
    const before = new Date();
    const refused = await call('POST', '/keys/watched/wrapkey', { alg: 'A256KW', value: 'AAAA' });
    await assign(admin, ROLE.user, id, '/keys/watched');
    const value = Buffer.alloc(32, 9).toString('base64url');
    const allowed = await call('POST', '/keys/watched/wrapkey', { alg: 'A256KW', value });
    const events = async (query: string) =>
      (await admin('GET', `/audit/events?${query}`)).json<{ value: Event[] }>().value;

    const ofPrincipal = await events(`principalId=${id}&operation=KeyWrap`);
    expect(
      ofPrincipal.map(({ requestId, operation, outcome, status, keyName }) => ({
        requestId,
        operation,
        outcome,
        status,
        keyName,
      })),
    ).toEqual([
      {
        requestId: allowed.headers['x-ms-request-id'],
        operation: 'KeyWrap',
        outcome: 'success',
        status: 200,
        keyName: 'watched',
      },
      {
        requestId: refused.headers['x-ms-request-id'],
        operation: 'KeyWrap',
        outcome: 'failure',
        status: 403,
        keyName: 'watched',
      },
    ]);
    expect(ofPrincipal[0]).toMatchObject({
      principalId: id,
      principalName: 'watched',
      action: 'Microsoft.KeyVault/managedHsm/keys/wrap/action',
      scope: '/keys/watched',
      algorithm: 'A256KW',
      keyVersion: expect.stringMatching(/^[0-9a-f]{32}$/) as unknown,
      clientAddress: '127.0.0.1',
    });
    expect(JSON.stringify(ofPrincipal)).not.toContain(value);
    expect((await events(`principalId=${id}&outcome=failure`)).map(({ status }) => status)).toEqual(
      [403],
    );
    expect((await events('keyName=WATCHED')).map(({ operation }) => operation)).toEqual([
      'KeyWrap',
      'KeyWrap',
      'KeyCreate',
    ]);
    expect(
      (await events(`keyName=watched&from=${before.toISOString()}`)).map(
        ({ operation }) => operation,
      ),
    ).toEqual(['KeyWrap', 'KeyWrap']);
    expect(await events(`keyName=watched&to=${new Date(0).toISOString()}`)).toEqual([]);
    const grants = await events('operation=RoleAssignmentCreate&maxresults=1000');
    const after = { principalId: id, roleDefinitionId: ROLE.user, scope: '/keys/watched' };
    expect(grants).toContainEqual(
      expect.objectContaining({
        change: expect.objectContaining({ after: expect.objectContaining(after) }),
      }),
    );
  });

  test('is paged from the newest on, and nothing is there twice or missing while it grows', async () => {
    const seen: Event[] = [];
    // Others write to it, and so does this suite for each page.
    let path: string | undefined =
      `/audit/events?maxresults=5&operation=RoleAssignmentCreate&from=${began.toISOString()}`;
    while (path !== undefined) {
      const page: { value: Event[]; nextLink?: string } = (await admin('GET', path)).json();
      seen.push(...page.value);
      path = page.nextLink?.replace(/^https:\/\/[^/]+/, '');
    }
    expect(seen.length).toBeGreaterThan(15);
    expect(new Set(seen.map(({ id }) => id)).size).toBe(seen.length);
    const times = seen.map(({ time }) => time);
    expect(times).toEqual([...times].sort().reverse());
  });

  test.each([
    'from=yesterday',
    'outcome=maybe',
    'maxresults=1001',
    '$skiptoken=!!',
    'operation=%00',
  ])('refuses the query %s', async (query) => {
    expect((await admin('GET', `/audit/events?${query}`)).status).toBe(400);
  });

  test('keeps what callers write about themselves on one line', async () => {
    const { headers } = await admin('GET', '/keys/none', undefined, {
      'User-Agent': `evil\u0085line${'x'.repeat(400)}`,
    });
    const { value } = (await admin('GET', '/audit/events?keyName=none&maxresults=1000')).json<{
      value: { requestId: string; userAgent: string }[];
    }>();
    const event = value.find(({ requestId }) => requestId === headers['x-ms-request-id']);
    expect(event?.userAgent).toMatch(/^evil[^\p{Cc}]*$/u);
    expect(event?.userAgent.length).toBeLessThanOrEqual(256);
  });
});
