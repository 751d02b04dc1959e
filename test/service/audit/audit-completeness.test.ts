import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { makePrincipal } from '../../support/administrator.ts';
import { type Caller, createCaller } from '../../support/client.ts';
import { withClient } from '../../support/store.ts';
import { ROLE } from '../../support/roles.ts';
import { useProduction } from '../../support/use-service.ts';

const VALUE = Buffer.alloc(32, 7).toString('base64url');
const ASSIGNMENTS = 'providers/Microsoft.Authorization/roleAssignments';
const DEFINITIONS = 'providers/Microsoft.Authorization/roleDefinitions';
const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };

const { production, admin, atEnd } = useProduction({
  STRONGROOM_WORKERS: '1',
  STRONGROOM_IDENTITY_LISTEN: '127.0.0.1:0',
});
let nobody: Caller & { close(): void };
let endpoint = '';
beforeAll(async () => {
  endpoint = /IDENTITY_ENDPOINT=(\S+)/.exec(production.service.output())?.[1] ?? '';
  await admin('POST', '/keys/one/create', { kty: 'oct-HSM' });
  nobody = createCaller(production.service);
  atEnd(nobody);
}, 120_000);

interface Recorded {
  readonly requestId: string;
  readonly operation: string;
  readonly status: number;
  readonly outcome: string;
  readonly errorCode?: string;
  readonly keyName?: string;
  readonly applicationId?: string;
  readonly change?: {
    readonly before?: unknown;
    readonly after?: unknown;
    readonly along?: unknown;
  };
}

async function recordsOf(requestId: unknown): Promise<Recorded[]> {
  const { value } = (await admin('GET', '/audit/events?maxresults=300')).json<{
    value: Recorded[];
  }>();
  return value.filter((record) => record.requestId === requestId);
}

/** The one record of an answer. */
async function recordOf(answer: Pick<Awaited<ReturnType<Caller>>, 'headers'>): Promise<Recorded> {
  const found = await recordsOf(answer.headers['x-ms-request-id']);
  const [record] = found;
  if (record === undefined || found.length > 1)
    throw new Error(`${String(found.length)} records of ${JSON.stringify(answer.headers)}`);
  return record;
}

describe('a refusal has its record:', () => {
  test.each<[string, number, string, string, unknown, Record<string, string>]>([
    ['a credential that is none', 401, 'GET', '/keys', undefined, { Authorization: 'Basic YTpi' }],
    ['a token that is none', 401, 'GET', '/keys', undefined, { Authorization: 'Bearer a.b.c' }],
    [
      'one of the directory, too',
      401,
      'GET',
      '/v1.0/users',
      undefined,
      { Authorization: 'Bearer a.b.c' },
    ],
    ['another pool', 404, 'GET', '/keys', undefined, { Host: 'other.hsm.example' }],
    ['a key that is absent', 404, 'GET', '/keys/absent', undefined, {}],
    ['a path that is none', 404, 'GET', '/secrets', undefined, {}],
    ['a method that is none', 404, 'PATCH', '/keys', {}, {}],
    ['a body of the wrong form', 400, 'POST', '/keys/one/wrapkey', { alg: 'A256KW', value: 7 }, {}],
    ['a body that is no JSON', 400, 'POST', '/keys/one/wrapkey', '{', {}],
    ['a path that cannot be decoded', 400, 'GET', '/keys/%ff', undefined, {}],
    ['an API version that is none', 400, 'GET', '/keys?api-version=1.0', undefined, {}],
    [
      'an algorithm that does not fit',
      400,
      'POST',
      '/keys/one/sign',
      { alg: 'ES256', value: VALUE },
      {},
    ],
    ['an assignment that is there', 409, 'PUT', `/${ASSIGNMENTS}/${randomUUID()}`, 'again', {}],
    [
      'a body that is too large',
      413,
      'POST',
      '/keys/one/wrapkey',
      { value: 'x'.repeat(300_000) },
      {},
    ],
    [
      'an encoding that is unknown',
      415,
      'POST',
      '/keys/one/wrapkey',
      {},
      { 'Content-Encoding': 'x' },
    ],
  ])('%s (%i)', async (_, status, method, path, body, headers) => {
    const sent =
      body === 'again'
        ? {
            properties: { roleDefinitionId: ROLE.user, principalId: production.adminPrincipalId },
          }
        : body;
    const answer = await admin(method, path, sent, headers);
    expect(answer.status).toBe(status);
    expect(await recordOf(answer)).toMatchObject({
      status,
      outcome: 'failure',
      errorCode: expect.any(String),
    });
  });

  test('a principal without a role (403)', async () => {
    const { id, call } = await makePrincipal(admin, production.service, 'https://hsm.example');
    const answer = await call('POST', '/keys/one/wrapkey', { alg: 'A256KW', value: VALUE });
    call.close();
    expect(answer.status).toBe(403);
    expect(await recordOf(answer)).toMatchObject({
      status: 403,
      errorCode: 'AccessDenied',
      principalId: id,
      keyName: 'one',
      operation: 'KeyWrap',
    });
  });

  test.each([
    ['of an unknown tenant', 400, '/elsewhere/oauth2/token', 'grant_type=client_credentials'],
    ['of another grant', 400, '/adfs/oauth2/token', 'grant_type=password'],
    [
      'of an unknown client',
      401,
      '/adfs/oauth2/token',
      `grant_type=client_credentials&client_id=${randomUUID()}&client_secret=x&resource=https://hsm.example`,
    ],
    ['whose form is too large', 413, '/adfs/oauth2/token', 'x'.repeat(70_000)],
  ])('a sign-in %s (%i)', async (_, status, path, form) => {
    const answer = await nobody('POST', path, form, FORM);
    expect(answer.status).toBe(status);
    expect(await recordOf(answer)).toMatchObject({
      operation: 'TokenIssue',
      status,
      errorCode: expect.any(String),
    });
  });

  test('a key whose seal is broken (500), when it is used and when it is due for rotation', async () => {
    await admin('POST', '/keys/broken/create', { kty: 'oct-HSM', key_ops: ['wrapKey'] });
    const put = await admin('PUT', '/keys/broken/rotationpolicy', {
      lifetimeActions: [{ trigger: { timeAfterCreate: 'P28D' }, action: { type: 'Rotate' } }],
      attributes: {},
    });
    expect(put.status).toBe(200);
    await withClient(production.database.ownerUrl, async (client) => {
      await client.query(`update key_version set seal = sha256(seal) where name_key = 'broken'`);
      await client.query(`update rotation_policy set rotate_at = 1 where name_key = 'broken'`);
    });
    const answer = await admin('POST', '/keys/broken/wrapkey', { alg: 'A256KW', value: VALUE });
    expect(answer.status).toBe(500);
    expect(await recordOf(answer)).toMatchObject({
      operation: 'KeyWrap',
      keyName: 'broken',
      status: 500,
      errorCode: 'KeyIntegrityViolation',
    });
    let scheduled: Recorded[] = [];
    for (let tries = 0; tries < 100 && scheduled.length === 0; tries += 1) {
      await delay(250);
      scheduled = (await admin('GET', '/audit/events?operation=KeyRotateScheduled')).json<{
        value: Recorded[];
      }>().value;
    }
    expect(scheduled).toEqual([
      expect.objectContaining({
        keyName: 'broken',
        outcome: 'failure',
        errorCode: 'KeyIntegrityViolation',
      }),
    ]);
  }, 60_000);
});

test('a record names the key that it is about, and no other name for one', async () => {
  await admin('POST', '/keys/Named/create', { kty: 'oct-HSM' });
  const backup = (await admin('POST', '/keys/Named/backup')).json<{ value: string }>();
  const guid = randomUUID();
  for (const [method, path, keyName, body] of [
    ['GET', '/settings/AllowRsa15'],
    ['PATCH', '/settings/Named', undefined, { value: 'true' }],
    ['GET', `/${DEFINITIONS}/${guid}`],
    ['GET', `/keys/Named/${ASSIGNMENTS}/${guid}`],
    ['GET', `/v1.0/applications/${guid}`],
    ['POST', '/rng', undefined, { count: 8 }],
    ['GET', '/keys'],
    ['GET', '/keys/Named', 'Named'],
    ['GET', '/keys/Named/versions', 'Named'],
    ['GET', '/keys/Named/rotationpolicy', 'Named'],
    ['GET', '/keys/Named/attestation', 'Named'],
    ['POST', '/keys/Named/release', 'Named', { target: 'a.b.c' }],
    ['POST', '/keys/Named/sign', 'Named', { alg: 'ES256', value: VALUE }],
    ['PUT', '/keys/Named', 'Named', { key: { kty: 'oct-HSM' } }],
    ['DELETE', '/keys/Named', 'Named'],
    ['GET', '/deletedkeys/Named', 'Named'],
    ['DELETE', '/deletedkeys/Named', 'Named'],
    ['POST', '/keys/restore', 'Named', backup],
    ['POST', '/keys/restore', undefined, { value: 'AAAA' }],
  ] as const) {
    const answer = await admin(method, path, body);
    const record = await recordOf(answer);
    expect([method, path, record.keyName]).toEqual([method, path, keyName]);
  }
});

test.each(['x', '100-continue, x', 'X-Other=1'])(
  'a request that expects %j is served as any other, with its record',
  async (expectation) => {
    const answer = await admin('GET', '/keys/one', undefined, { Expect: expectation });
    const record = await recordOf(answer);
    expect([answer.status, record.operation, record.status]).toEqual([200, 'KeyGet', 200]);
  },
);

test('an issued token has its record, and the handshake without a credential has none', async () => {
  const { value } = (
    await admin('GET', '/audit/events?operation=TokenIssue&outcome=success')
  ).json<{
    value: Recorded[];
  }>();
  expect(value.length).toBeGreaterThan(0);
  expect(value[0]).toMatchObject({ status: 200, applicationId: expect.any(String) });
  const handshake = await nobody('GET', '/keys');
  expect(handshake.status).toBe(401);
  expect(await recordsOf(handshake.headers['x-ms-request-id'])).toEqual([]);
});

test('each call of the identity endpoint has its record, one that was passed on too', async () => {
  const ask = async (headers: Record<string, string>) => {
    const answer = await fetch(`${endpoint}?api-version=2019-08-01&resource=https://hsm.example`, {
      headers,
    });
    return {
      status: answer.status,
      headers: { 'x-ms-request-id': answer.headers.get('x-ms-request-id') ?? '' },
    };
  };
  for (const [headers, status, errorCode] of [
    [{ 'X-IDENTITY-HEADER': `${randomUUID()}.wrong` }, 401, 'invalid_client'],
    [{}, 401, 'invalid_client'],
    [{ 'X-IDENTITY-HEADER': 'x', 'X-Forwarded-For': '192.0.2.1' }, 403, 'PassedOn'],
  ] as const) {
    const answer = await ask(headers);
    expect(answer.status).toBe(status);
    expect(await recordOf(answer)).toMatchObject({
      operation: 'ManagedIdentityTokenIssue',
      status,
      errorCode,
    });
  }
});

describe('a change says what was before and after:', () => {
  const changed = async (method: string, path: string, body?: unknown) => {
    const answer = await admin(method, path, body);
    expect([path, answer.status]).toEqual([path, expect.any(Number)]);
    expect(answer.status).toBeLessThan(300);
    const { change, status } = await recordOf(answer);
    expect(status).toBe(answer.status);
    return { change, body: answer.text === '' ? undefined : answer.json<{ id: string }>() };
  };
  const make = async (path: string, body: unknown) => (await changed('POST', path, body)).body;

  test('applications, their credentials, and all that goes with them', async () => {
    const made = await changed('POST', '/v1.0/applications', { displayName: 'billing' });
    expect(made.change).toEqual({ after: expect.objectContaining({ displayName: 'billing' }) });
    const { id, appId } = made.body as { id: string; appId: string };
    const password = await changed('POST', `/v1.0/applications/${id}/addPassword`, {});
    const { keyId, secretText } = password.body as unknown as { keyId: string; secretText: string };
    expect(password.change).toEqual({ after: expect.objectContaining({ keyId }) });
    expect(JSON.stringify(password.change)).not.toContain(secretText);
    expect(
      (await changed('POST', `/v1.0/applications/${id}/removePassword`, { keyId })).change,
    ).toEqual({
      before: { applicationId: id, keyId },
    });
    const federated = `/v1.0/applications/${id}/federatedIdentityCredentials`;
    // Whoever registers one has the service ask that server: none but public ones, where no setting names it.
    for (const host of [
      ...['localhost', 'localhost.', 'x.localhost', '127.0.0.1:8443', '2130706433', '0x7f.1'],
      ...['169.254.169.254', '10.0.0.1', '100.64.0.1', '[::1]', '[::ffff:127.0.0.1]', '[fd00::1]'],
    ])
      for (const scheme of ['https', 'http'])
        expect(
          await admin('POST', federated, {
            name: 'inside',
            issuer: `${scheme}://${host}/`,
            subject: 'workload',
            audiences: ['api://x'],
          }),
        ).toMatchObject({ status: 400, text: expect.stringMatching(/property issuer/i) });
    const credential = await changed('POST', federated, {
      name: 'cluster',
      issuer: 'https://issuer.example',
      subject: 'workload',
      audiences: ['api://x'],
    });
    expect(credential.change).toEqual({ after: expect.objectContaining({ subject: 'workload' }) });
    expect((await changed('DELETE', `${federated}/${credential.body?.id ?? ''}`)).change).toEqual({
      before: { applicationId: id, id: credential.body?.id },
    });
    const principal = await make('/v1.0/servicePrincipals', { appId });
    const principalId = principal?.id ?? '';
    expect(
      (await changed('PATCH', `/v1.0/servicePrincipals/${principalId}`, { accountEnabled: false }))
        .change,
    ).toEqual({
      before: { id: principalId, enabled: true },
      after: { id: principalId, enabled: false },
    });
    const group = await make('/v1.0/groups', { displayName: 'operators' });
    await make(`/v1.0/groups/${group?.id ?? ''}/members/$ref`, {
      '@odata.id': `https://x/v1.0/directoryObjects/${principalId}`,
    });
    const assignment = randomUUID();
    await changed('PUT', `/keys/one/${ASSIGNMENTS}/${assignment}`, {
      properties: { roleDefinitionId: ROLE.user, principalId },
    });
    const { change } = await changed('DELETE', `/v1.0/applications/${id}`);
    expect(change).toEqual({
      before: expect.objectContaining({ id }),
      along: {
        groups: { count: 1, items: [group?.id] },
        roleAssignments: {
          count: 1,
          items: [expect.objectContaining({ id: assignment, principalId, scope: '/keys/one' })],
        },
      },
    });
    expect((await changed('DELETE', `/v1.0/groups/${group?.id ?? ''}`)).change).toEqual({
      before: expect.objectContaining({ displayName: 'operators' }),
    });
  });

  test('users and groups', async () => {
    const user = await make('/v1.0/users', {
      displayName: 'Ada',
      userPrincipalName: `${randomUUID()}@hsm.example`,
    });
    const id = user?.id ?? '';
    expect((await changed('PATCH', `/v1.0/users/${id}`, { displayName: 'Ada L.' })).change).toEqual(
      {
        before: expect.objectContaining({ displayName: 'Ada' }),
        after: expect.objectContaining({ displayName: 'Ada L.' }),
      },
    );
    const group = await make('/v1.0/groups', { displayName: 'officers' });
    const members = `/v1.0/groups/${group?.id ?? ''}/members`;
    const reference = { '@odata.id': `https://x/v1.0/directoryObjects/${id}` };
    const membership = { groupId: group?.id, memberId: id };
    expect((await changed('POST', `${members}/$ref`, reference)).change).toEqual({
      after: membership,
    });
    expect((await changed('DELETE', `${members}/${id}/$ref`)).change).toEqual({
      before: membership,
    });
    await changed('POST', `${members}/$ref`, reference);
    expect((await changed('DELETE', `/v1.0/groups/${group?.id ?? ''}`)).change).toEqual({
      before: expect.objectContaining({ displayName: 'officers' }),
      along: { members: { count: 1, items: [id] } },
    });
    expect((await changed('DELETE', `/v1.0/users/${id}`)).change).toEqual({
      before: expect.objectContaining({ displayName: 'Ada L.' }),
    });
  });

  test('roles, assignments, settings and policies', async () => {
    const role = randomUUID();
    const put = (roleName: string) =>
      changed('PUT', `/${DEFINITIONS}/${role}`, {
        properties: {
          roleName,
          type: 'CustomRole',
          permissions: [{ dataActions: ['Microsoft.KeyVault/managedHsm/keys/read/action'] }],
          assignableScopes: ['/'],
        },
      });
    expect((await put('readers')).change).toEqual({
      after: expect.objectContaining({ roleName: 'readers' }),
    });
    expect((await put('lookers')).change).toEqual({
      before: expect.objectContaining({ roleName: 'readers' }),
      after: expect.objectContaining({ roleName: 'lookers' }),
    });
    const path = `/${ASSIGNMENTS}/${randomUUID()}`;
    const principalId = randomUUID();
    const assign = (description: string) =>
      changed('PUT', path, { properties: { roleDefinitionId: role, principalId, description } });
    expect((await assign('first')).change).toEqual({
      after: expect.objectContaining({ description: 'first', roleName: 'lookers' }),
    });
    expect((await assign('second')).change).toEqual({
      before: expect.objectContaining({ description: 'first' }),
      after: expect.objectContaining({ description: 'second' }),
    });
    expect((await changed('DELETE', path)).change).toEqual({
      before: expect.objectContaining({ description: 'second', principalId }),
    });
    expect((await changed('DELETE', `/${DEFINITIONS}/${role}`)).change).toEqual({
      before: expect.objectContaining({ roleName: 'lookers' }),
    });
    expect((await changed('PATCH', '/settings/AllowRsa15', { value: 'false' })).change).toEqual({
      before: expect.anything(),
      after: expect.anything(),
    });
    expect(
      (await changed('PATCH', '/keys/one/', { attributes: { enabled: false } })).change,
    ).toEqual({
      before: expect.objectContaining({ enabled: true }),
      after: expect.objectContaining({ enabled: false }),
    });
  });

  test('a purge names the assignments that go with the key', async () => {
    await admin('POST', '/keys/going/create', { kty: 'oct-HSM' });
    const principalId = randomUUID();
    await changed('PUT', `/keys/going/${ASSIGNMENTS}/${randomUUID()}`, {
      properties: { roleDefinitionId: ROLE.user, principalId },
    });
    await admin('DELETE', '/keys/going');
    expect((await changed('DELETE', '/deletedkeys/going')).change).toEqual({
      along: {
        roleAssignments: { count: 1, items: [expect.objectContaining({ principalId })] },
      },
    });
  });
});

// At the end, since the service ends in it.
test('refused strangers fill no disk: beyond a bound for their address they are counted', async () => {
  const stranger = createCaller(production.service, undefined, { localAddress: '127.0.0.77' });
  const send = (index: number) =>
    index % 2 === 0
      ? stranger('POST', '/adfs/oauth2/token', 'grant_type=password', FORM)
      : stranger('GET', '/keys', undefined, {
          Authorization: `Bearer ${String(index)}.b.c`,
          'X-Forwarded-For': `192.0.2.${String(index % 250)}`,
        });
  const answers: number[] = [];
  for (let from = 0; from < 400; from += 20) {
    const sent = Array.from({ length: 20 }, (_, index) => send(from + index));
    answers.push(...(await Promise.all(sent)).map(({ status }) => status));
  }
  stranger.close();
  expect(answers.every((status) => [400, 401, 429].includes(status))).toBe(true);
  const read = async (where: string) =>
    withClient(production.database.ownerUrl, async (client) => {
      const sql = `select coalesce(sum((change->'after'->>'count')::int), 0) as counted, count(*) as records
        from audit_event where client_address = '127.0.0.77' and ${where}`;
      const { rows } = await client.query<{ counted: string; records: string }>(sql);
      return { counted: Number(rows[0]?.counted), records: Number(rows[0]?.records) };
    });
  // What was answered is recorded or counted; a window of a minute may have ended in between.
  const own = await read(`operation <> 'RefusalsCounted'`);
  expect(own.records).toBeLessThanOrEqual(60);
  // What has been counted is written at the end of a window, and of the service.
  await production.service.stop();
  const { counted } = await read(`operation = 'RefusalsCounted'`);
  expect(counted).toBeGreaterThan(0);
  expect(own.records + counted).toBeLessThanOrEqual(400);
}, 60_000);
