import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { makePrincipal } from '../../support/administrator.ts';
import type { Caller } from '../../support/client.ts';
import { ROLE } from '../../support/roles.ts';
import { useService } from '../../support/use-service.ts';

/** Custom roles, assignments that end, explanations, and everything that a role's holder could try to become more. */

const PROVIDER = '/providers/Microsoft.Authorization';
const AZURE = 'Microsoft.KeyVault/managedHsm';

interface Problem {
  readonly error: { readonly code: string; readonly message: string };
}
interface Definition {
  readonly name: string;
  readonly properties: Readonly<Record<string, unknown>>;
}

const { service, admin } = useService();
beforeAll(async () => {
  for (const name of ['one', 'two'])
    expect((await admin('POST', `/keys/${name}/create`, { kty: 'EC-HSM' })).status).toBe(200);
}, 90_000);

const at = (scope: string) => (scope === '/' ? '' : scope) + PROVIDER;
async function define(
  call: Caller,
  permissions: readonly object[],
  { id = randomUUID(), scope = '/', ...more }: { id?: string; scope?: string } & object = {},
) {
  const answer = await call('PUT', `${at(scope)}/roleDefinitions/${id}`, {
    properties: { roleName: `role ${id}`, type: 'CustomRole', permissions, ...more },
  });
  return { id, answer };
}
async function assign(
  call: Caller,
  principalId: string,
  roleDefinitionId: string,
  scope = '/',
  more: object = {},
) {
  const id = randomUUID();
  const answer = await call('PUT', `${at(scope)}/roleAssignments/${id}`, {
    properties: { principalId, roleDefinitionId, ...more },
  });
  return { id, answer };
}
async function holding(roles: readonly string[], scope = '/') {
  const principal = await makePrincipal(admin, service);
  for (const role of roles)
    expect((await assign(admin, principal.id, role, scope)).answer.status).toBe(201);
  return principal;
}
const mayRead = async (call: Caller, key = 'one') =>
  (await call('GET', `/keys/${key}`)).status === 200;
/** Tries for a little more than the second within which every process knows. */
async function becomes(expected: boolean, isSo: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 60 && (await isSo()) !== expected; tries += 1) await delay(25);
  expect(await isSo()).toBe(expected);
}

describe('a custom role', () => {
  test('is made, listed, changed and deleted, and its holders with it', async () => {
    const { id: principal, call } = await holding([]);
    const { id, answer } = await define(admin, [{ dataActions: [`${AZURE}/keys/read/action`] }], {
      description: 'reads',
    } as object);
    const expected = {
      id: `Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/${id}`,
      name: id,
      type: 'Microsoft.Authorization/roleDefinitions',
      properties: {
        assignableScopes: ['/'],
        description: 'reads',
        permissions: [
          {
            actions: [],
            dataActions: [`${AZURE}/keys/read/action`],
            notActions: [],
            notDataActions: [],
          },
        ],
        roleName: `role ${id}`,
        type: 'CustomRole',
      },
    };
    expect([answer.status, answer.json()]).toEqual([201, expected]);
    expect((await admin('GET', `${PROVIDER}/roleDefinitions/${id}`)).json()).toEqual(expected);
    const listed = (await admin('GET', `${PROVIDER}/roleDefinitions`)).json<{
      value: Definition[];
    }>();
    expect(listed.value.map(({ name }) => name)).toContain(id);
    expect(listed.value[0]?.name).toBe(ROLE.administrator);

    await assign(admin, principal, id);
    await becomes(true, () => mayRead(call));
    await define(admin, [{ dataActions: [`${AZURE}/keys/wrap/action`] }], { id });
    await becomes(false, () => mayRead(call));
    await define(admin, [{ dataActions: [`${AZURE}/keys/read/action`] }], { id });
    await becomes(true, () => mayRead(call));
    const removed = await admin('DELETE', `${PROVIDER}/roleDefinitions/${id}`);
    expect([removed.status, removed.json<Definition>().name]).toEqual([200, id]);
    await becomes(false, () => mayRead(call));
    expect((await admin('DELETE', `${PROVIDER}/roleDefinitions/${id}`)).status).toBe(404);
    // The assignment is still listed, and gives nothing.
    const left = await admin(
      'GET',
      `${PROVIDER}/roleAssignments?$filter=principalId%20eq%20'${principal}'`,
    );
    expect(left.json<{ value: unknown[] }>().value).toHaveLength(1);
    call.close();
  });

  test('may have wildcards and exclusions; an exclusion holds in its own permission alone', async () => {
    const { id: principal, call } = await holding([]);
    const { id } = await define(admin, [
      {
        dataActions: [`${AZURE}/keys/*`],
        notDataActions: [`${AZURE}/keys/delete`, `${AZURE}/KEYS/SIGN/*`],
      },
      { dataActions: [`${AZURE}/rng/action`] },
    ]);
    await assign(admin, principal, id);
    await becomes(true, () => mayRead(call));
    const sign = { alg: 'ES256', value: Buffer.alloc(32).toString('base64url') };
    expect((await call('POST', '/keys/one/sign', sign)).status).toBe(403);
    expect((await call('DELETE', '/keys/two')).status).toBe(403);
    expect((await call('POST', '/rng', { count: 8 })).status).toBe(200);
    expect((await call('POST', '/keys/made/create', { kty: 'EC' })).status).toBe(200);
    call.close();
  });

  test('without permissions or name is taken, as the live service does it', async () => {
    const id = randomUUID();
    const answer = await admin('PUT', `//${PROVIDER}/roleDefinitions/${id}`, { properties: {} });
    expect([answer.status, answer.json<Definition>().properties]).toEqual([
      201,
      {
        assignableScopes: ['/'],
        description: '',
        permissions: [],
        roleName: id,
        type: 'CustomRole',
      },
    ]);
  });

  test.each([
    ['an id that is no GUID', 'mine', {}, 'Role definition name must be a GUID'],
    [
      'the id of a built-in role',
      ROLE.officer,
      {},
      'Cannot re-use the name/GUID matching that of a built-in role. Please use a unique role ID.',
    ],
    [
      'an unknown action',
      randomUUID(),
      { permissions: [{ dataActions: [`${AZURE}/keys/shred`] }] },
      'is not known. The known data actions are: Microsoft.KeyVault/managedHsm/keys/read/action',
    ],
    [
      'a wildcard that fits none',
      randomUUID(),
      { permissions: [{ dataActions: ['Microsoft.Storage/*'] }] },
      'is not known',
    ],
    [
      'control-plane actions',
      randomUUID(),
      { permissions: [{ actions: ['*'] }] },
      'data actions only',
    ],
    ['the type of a built-in role', randomUUID(), { type: 'AKVBuiltInRole' }, 'must be CustomRole'],
    [
      'a scope that is none',
      randomUUID(),
      { assignableScopes: ['/subscriptions/x'] },
      'a scope is',
    ],
  ])('with %s is refused', async (_what, id, properties, message) => {
    const answer = await admin('PUT', `${PROVIDER}/roleDefinitions/${id}`, { properties });
    const { error } = answer.json<Problem>();
    expect([answer.status, error.code]).toEqual([400, 'BadParameter']);
    expect(error.message).toContain(message);
  });

  test.each([
    'Managed HSM Crypto Auditor',
    'managed hsm crypto AUDITOR',
    '  Managed   HSM\tCrypto Auditor ',
    'Managed\u00a0HSM Crypto Auditor',
    'Ｍａｎａｇｅｄ HSM Crypto Auditor',
    'Managed HSM Crypto\u200b Auditor',
    'MANAGED HSM CRYPTO AUD\u0130TOR',
    'Managed HSM Crypto Aud\u0131tor',
    'Managed \u200b HSM \u200e\u200f Crypto Auditor',
    'Managed\u0085HSM\u2800Crypto Auditor',
    'Managed HSM Crypto Auditor\u007f',
    '\u0008Managed HSM Crypto \ufff9Auditor\u0378',
    'A role of ours',
    'a ROLE of  ours',
  ])('never has the name of another role: %j', async (roleName) => {
    const ours = '8f0f2a86-0000-4000-8000-00000000a0a0';
    const put = (id: string, properties: object) =>
      admin('PUT', `${PROVIDER}/roleDefinitions/${id}`, { properties });
    expect((await put(ours, { roleName: 'A role of ours' })).status).toBe(201);
    const wanted = { roleName, permissions: [{ dataActions: [`${AZURE}/keys/*`] }] };
    // Neither when it is made nor when it is renamed.
    const { id } = await define(admin, []);
    for (const answer of [await put(randomUUID(), wanted), await put(id, wanted)])
      expect([answer.status, answer.json<Problem>().error.code]).toEqual([
        409,
        'RoleDefinitionWithSameNameExists',
      ]);
    // Its own it may keep, and write otherwise.
    expect((await put(ours, { roleName: 'A role of Ours' })).status).toBe(201);
    expect((await put(id, { roleName: id })).status).toBe(201);
    expect((await put(id, { roleName: ROLE.auditor.toUpperCase() })).status).toBe(400);
  });

  test.each(['Man\u0430ged HSM Crypto Auditor', 'Managed \u041d\u0405\u041c Crypto Auditor'])(
    'never has a name that looks like that of another role: %j',
    async (roleName) => {
      const { id } = await define(admin, []);
      for (const name of [id, randomUUID()]) {
        const answer = await admin('PUT', `${PROVIDER}/roleDefinitions/${name}`, {
          properties: { roleName },
        });
        expect([answer.status, answer.json<Problem>().error]).toEqual([
          400,
          expect.objectContaining({
            code: 'BadParameter',
            message: expect.stringMatching(/roleName/),
          }),
        ]);
      }
    },
  );

  test('of one name is made once, however many make it at the same moment', async () => {
    const roleName = `contested ${randomUUID()}`;
    const answers = await Promise.all(
      Array.from({ length: 6 }, () =>
        admin('PUT', `${PROVIDER}/roleDefinitions/${randomUUID()}`, { properties: { roleName } }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409, 409]);
  });

  test('of the built-in kind is not deleted', async () => {
    const answer = await admin('DELETE', `${PROVIDER}/roleDefinitions/${ROLE.user}`);
    expect([answer.status, answer.json<Problem>().error.code]).toEqual([400, 'BadParameter']);
  });

  test('is assigned at its assignable scopes and below, and keeps within them', async () => {
    const { id: principal, call } = await holding([]);
    const permissions = [{ dataActions: [`${AZURE}/keys/read/action`] }];
    const { id } = await define(admin, permissions, { assignableScopes: ['/keys'] } as object);
    expect((await assign(admin, principal, id, '/')).answer.status).toBe(400);
    expect((await assign(admin, principal, id, '/keys/two')).answer.status).toBe(201);
    await becomes(true, () => mayRead(call, 'two'));
    expect(await mayRead(call, 'one')).toBe(false);
    const narrowed = await define(admin, permissions, {
      id,
      assignableScopes: ['/keys/one'],
    } as object);
    expect([narrowed.answer.status, narrowed.answer.json<Problem>().error.code]).toEqual([
      409,
      'RoleDefinitionHasAssignments',
    ]);
    const lists = async (scope: string, filter = '') =>
      (await admin('GET', `${at(scope)}/roleDefinitions${filter}`))
        .json<{ value: Definition[] }>()
        .value.some(({ name }) => name === id);
    expect([
      await lists('/'),
      await lists('/', '?$filter=atScopeAndBelow()'),
      await lists('/keys/one'),
    ]).toEqual([false, true, true]);
    expect((await admin('GET', `${PROVIDER}/roleDefinitions?$filter=other()`)).status).toBe(400);
    call.close();
  });
});

describe('an assignment', () => {
  test('may have a description and an end, after which it gives nothing', async () => {
    const { id: principal, call } = await holding([]);
    const expiresOn = new Date(Date.now() + 3_000).toISOString();
    const { id, answer } = await assign(admin, principal, ROLE.user, '/', {
      description: 'for a while',
      expiresOn,
    });
    expect(answer.status).toBe(201);
    const shown = (await admin('GET', `${PROVIDER}/roleAssignments/${id}`)).json<Definition>();
    expect(shown.properties).toMatchObject({
      description: 'for a while',
      expiresOn: `${expiresOn.slice(0, 19)}.000Z`,
    });
    await becomes(true, () => mayRead(call));
    await delay(Date.parse(expiresOn) - Date.now());
    expect(await mayRead(call)).toBe(false);
    // An ended one doesn't stand in the way of a new one under another name.
    expect((await assign(admin, principal, ROLE.user)).answer.status).toBe(201);
    await becomes(true, () => mayRead(call));
    call.close();
  });

  test('again is no error, a second one of the same content is', async () => {
    const { id: principal, call } = await holding([]);
    const { id } = await assign(admin, principal, ROLE.user, '/keys');
    const put = (name: string, description: string) =>
      admin('PUT', `/keys${PROVIDER}/roleAssignments/${name}`, {
        properties: { principalId: principal, roleDefinitionId: ROLE.user, description },
      });
    expect((await put(id, 'renamed')).status).toBe(201);
    const other = await put(randomUUID(), 'again');
    expect([other.status, other.json<Problem>().error.code]).toEqual([409, 'RoleAssignmentExists']);
    call.close();
  });

  test('of the last Administrator is not taken away, and nor is who holds it', async () => {
    const own = service.client['AZURE_PRINCIPAL_ID'] ?? '';
    const { value } = (
      await admin('GET', `${PROVIDER}/roleAssignments?$filter=principalId%20eq%20'${own}'`)
    ).json<{ value: Definition[] }>();
    const last = value.find(({ properties }) =>
      String(properties['roleDefinitionId']).endsWith(ROLE.administrator),
    );
    const refused = await admin('DELETE', `${PROVIDER}/roleAssignments/${last?.name ?? ''}`);
    expect([refused.status, refused.json<Problem>().error.code]).toEqual([409, 'Conflict']);
    expect((await admin('DELETE', `/v1.0/servicePrincipals/${own}`)).status).toBe(409);
    expect((await admin('GET', `${PROVIDER}/roleAssignments`)).status).toBe(200);
  });

  test('of Administrator to an id that nobody has is not the last one that stays', async () => {
    expect((await assign(admin, randomUUID(), ROLE.administrator)).answer.status).toBe(201);
    const own = service.client['AZURE_PRINCIPAL_ID'] ?? '';
    const { value } = (
      await admin('GET', `${PROVIDER}/roleAssignments?$filter=principalId%20eq%20'${own}'`)
    ).json<{ value: Definition[] }>();
    const last = value.find(({ properties }) =>
      String(properties['roleDefinitionId']).endsWith(ROLE.administrator),
    );
    const removed = await admin('DELETE', `${PROVIDER}/roleAssignments/${last?.name ?? ''}`);
    expect([removed.status, removed.json<Problem>().error.code]).toEqual([409, 'Conflict']);
    // Nor does its only secret go, unless there is another one.
    const { value: applications } = (
      await admin(
        'GET',
        `/v1.0/applications?$filter=appId%20eq%20'${service.client['AZURE_CLIENT_ID'] ?? ''}'`,
      )
    ).json<{ value: { id: string }[] }>();
    const path = `/v1.0/applications/${applications[0]?.id ?? ''}`;
    const { passwordCredentials } = (await admin('GET', path)).json<{
      passwordCredentials: { keyId: string }[];
    }>();
    const keyId = passwordCredentials[0]?.keyId;
    const remove = () => admin('POST', `${path}/removePassword`, { keyId });
    expect((await remove()).status).toBe(409);
    expect((await admin('POST', `${path}/addPassword`, {})).status).toBe(200);
    expect((await remove()).status).toBe(204);
  });

  test('with an end in the past is refused, and so is an end of the last Administrator', async () => {
    const { id: principal, call } = await holding([]);
    const past = await assign(admin, principal, ROLE.user, '/', {
      expiresOn: '2020-01-01T00:00:00Z',
    });
    expect(past.answer.status).toBe(400);
    const own = service.client['AZURE_PRINCIPAL_ID'] ?? '';
    const list = await admin(
      'GET',
      `${PROVIDER}/roleAssignments?$filter=principalId%20eq%20'${own}'`,
    );
    const last = list
      .json<{ value: Definition[] }>()
      .value.find(({ properties }) =>
        String(properties['roleDefinitionId']).endsWith(ROLE.administrator),
      );
    // One that ends doesn't count as another one.
    const expiresOn = new Date(Date.now() + 3_600_000).toISOString();
    expect(
      (await assign(admin, principal, ROLE.administrator, '/', { expiresOn })).answer.status,
    ).toBe(201);
    const ended = await admin('PUT', `${PROVIDER}/roleAssignments/${last?.name ?? ''}`, {
      properties: { principalId: own, roleDefinitionId: ROLE.administrator, expiresOn },
    });
    expect([ended.status, ended.json<Problem>().error.code]).toEqual([409, 'Conflict']);
    const removed = await admin('DELETE', `${PROVIDER}/roleAssignments/${last?.name ?? ''}`);
    expect(removed.status).toBe(409);
    // Nor is it shut out.
    const disabled = await admin('PATCH', `/v1.0/servicePrincipals/${own}`, {
      accountEnabled: false,
    });
    expect([disabled.status, disabled.json<Problem>().error.code]).toEqual([409, 'Conflict']);
    call.close();
  });
});

test('a principal that is disabled is refused everywhere within a second, and back when enabled', async () => {
  const { id, call } = await holding([ROLE.user]);
  const status = async () => (await call('GET', '/keys/one')).status;
  await becomes(true, () => mayRead(call));
  const set = (accountEnabled: boolean) =>
    admin('PATCH', `/v1.0/servicePrincipals/${id}`, { accountEnabled });
  expect((await set(false)).status).toBeLessThan(300);
  await delay(1_000);
  for (let tries = 0; tries < 8; tries += 1) expect(await status()).toBe(401);
  expect((await set(true)).status).toBeLessThan(300);
  await delay(1_000);
  expect(await status()).toBe(200);
  call.close();
});

test('a group of the directory gives its roles to its members, and the explanation says so', async () => {
  const { id, call } = await holding([]);
  const group = (await admin('POST', '/v1.0/groups', { displayName: 'readers' })).json<{
    id: string;
  }>();
  await assign(admin, group.id, ROLE.user, '/keys/one');
  const member = await admin('POST', `/v1.0/groups/${group.id}/members/$ref`, {
    '@odata.id': `https://graph.microsoft.com/v1.0/directoryObjects/${id}`,
  });
  expect(member.status).toBeLessThan(300);
  await becomes(true, () => mayRead(call));
  const why = await admin('POST', '/access/explain', {
    principalId: id,
    action: `${AZURE}/keys/read/action`,
    scope: '/keys/one',
  });
  expect(why.json()).toMatchObject({ allowed: true, through: [{ group: group.id }] });
  await admin('DELETE', `/v1.0/groups/${group.id}/members/${id}/$ref`);
  await becomes(false, () => mayRead(call));
  call.close();
});

describe('nobody below Administrator becomes more', () => {
  const writers = [
    ['officer', ROLE.officer],
    ['policyAdministrator', ROLE.policyAdministrator],
  ] as const;
  const others = Object.entries(ROLE).filter(
    ([name]) => !['administrator', 'officer', 'policyAdministrator'].includes(name),
  );
  const refusals = async (operation: string) =>
    (
      await admin('GET', `/audit/events?outcome=failure&maxresults=1000&operation=${operation}`)
    ).json<{ value: { principalId: string; status: number }[] }>().value;

  test.each(writers)(
    '%s: not by an assignment, nor by a role of its own making',
    async (_name, role) => {
      const { id: me, call } = await holding([role]);
      const friend = await makePrincipal(admin, service);
      const read = [{ dataActions: [`${AZURE}/keys/read/action`] }];
      // It may do its work.
      const harmless = await define(call, read);
      expect(harmless.answer.status).toBe(201);
      expect((await assign(call, friend.id, harmless.id)).answer.status).toBe(201);
      expect((await assign(call, friend.id, ROLE.user, '/keys/one')).answer.status).toBe(201);
      // An Administrator lets it hold a role that it may write.
      const own = await define(admin, read);
      expect((await assign(admin, me, own.id)).answer.status).toBe(201);
      const attempts = [
        // Any role for itself, at any scope.
        ...Object.values(ROLE).flatMap((granted) =>
          ['/', '/keys', '/keys/one'].map((scope) => assign(call, me, granted, scope)),
        ),
        assign(call, me, harmless.id),
        // Control for a friend.
        ...[
          ROLE.administrator,
          ROLE.officer,
          ROLE.policyAdministrator,
          ROLE.backup,
          ROLE.restore,
        ].flatMap((granted) =>
          ['/', '/keys/one'].map((scope) => assign(call, friend.id, granted, scope)),
        ),
        // Control in a role, plainly and by wildcards.
        ...[
          '*',
          'Microsoft.KeyVault/*',
          `${AZURE}/role*`,
          `${AZURE}/roleAssignments/write/action`,
          `${AZURE}/securitydomain/download/action`,
          `${AZURE}/backup/start/action`,
          `${AZURE}/settings/write/action`,
          'Strongroom/directory/write/action',
        ].flatMap((action) => [
          define(call, [{ dataActions: [action] }]),
          define(call, [{ dataActions: [action] }], { id: harmless.id }),
          define(call, [{ dataActions: [action] }], {
            scope: '/keys/one',
            assignableScopes: ['/keys/one'],
          } as object),
        ]),
        // A role that it holds itself.
        define(call, [{ dataActions: [`${AZURE}/keys/*`] }], { id: own.id }),
        // An Administrator's power, taken away.
        call('DELETE', `${PROVIDER}/roleDefinitions/${ROLE.administrator}`).then((answer) => ({
          answer,
        })),
      ];
      for (const { answer } of await Promise.all(attempts))
        expect([400, 403]).toContain(answer.status);
      expect((await define(call, [], { id: own.id })).answer.status).toBe(403);
      expect((await call('DELETE', `${PROVIDER}/roleDefinitions/${own.id}`)).status).toBe(403);
      // It holds what it held.
      const held = await admin(
        'GET',
        `${PROVIDER}/roleAssignments?$filter=principalId%20eq%20'${me}'`,
      );
      expect(held.json<{ value: unknown[] }>().value).toHaveLength(2);
      const audited = (await refusals('RoleAssignmentCreate')).filter(
        ({ principalId }) => principalId === me,
      );
      expect(audited.length).toBeGreaterThanOrEqual(37);
      expect(
        (await refusals('RoleDefinitionWrite')).filter(({ principalId }) => principalId === me)
          .length,
      ).toBeGreaterThanOrEqual(25);
      call.close();
      friend.call.close();
    },
  );

  test.each(writers)(
    '%s cannot take an Administrator its role, and may give up its own',
    async (_name, role) => {
      const { id: me, call } = await holding([]);
      const { id } = await assign(admin, me, role);
      const victim = await makePrincipal(admin, service);
      const held = await assign(admin, victim.id, ROLE.administrator);
      await becomes(
        true,
        async () => (await call('GET', `${PROVIDER}/roleAssignments`)).status === 200,
      );
      expect((await call('DELETE', `${PROVIDER}/roleAssignments/${held.id}`)).status).toBe(403);
      expect((await call('DELETE', `${PROVIDER}/roleAssignments/${id}`)).status).toBe(200);
      victim.call.close();
      call.close();
    },
  );

  test.each(writers)('%s of one key writes no role that counts beyond it', async (_name, role) => {
    const { call } = await holding([role], '/keys/one');
    const read = [{ dataActions: [`${AZURE}/keys/read/action`] }];
    const wide = await define(admin, read);
    expect((await define(call, read)).answer.status).toBe(403);
    expect((await define(call, read, { scope: '/keys/one' })).answer.status).toBe(403);
    expect((await define(call, read, { scope: '/keys/two' })).answer.status).toBe(403);
    expect(
      (
        await define(call, [], {
          id: wide.id,
          scope: '/keys/one',
          assignableScopes: ['/keys/one'],
        } as object)
      ).answer.status,
    ).toBe(403);
    expect((await call('DELETE', `/keys/one${PROVIDER}/roleDefinitions/${wide.id}`)).status).toBe(
      403,
    );
    const narrow = { scope: '/keys/one', assignableScopes: ['/keys/ONE'] } as object;
    expect((await define(call, read, narrow)).answer.status).toBe(201);
    call.close();
  });

  test.each(others)('%s writes neither assignments nor roles', async (_name, role) => {
    const { id: me, call } = await holding([role]);
    const friend = randomUUID();
    for (const scope of ['/', '/keys', '/keys/one'])
      for (const principal of [me, friend])
        expect((await assign(call, principal, ROLE.user, scope)).answer.status).toBe(403);
    expect((await define(call, [])).answer.status).toBe(403);
    expect((await call('DELETE', `${PROVIDER}/roleDefinitions/${ROLE.user}`)).status).toBe(403);
    expect((await call('PATCH', '/settings/AllowRsa15', { value: 'false' })).status).toBe(403);
    expect((await call('POST', '/v1.0/applications', { displayName: 'x' })).status).toBe(403);
    call.close();
  });
});

describe('an explanation', () => {
  const ask = (body: object) => admin('POST', '/access/explain', body);
  const SIGN = `${AZURE}/keys/sign/action`;

  test('names the assignment, the role and the group through which it is allowed, and why the others do not', async () => {
    const { id: principal, call } = await holding([ROLE.auditor]);
    const group = randomUUID();
    const { id } = await assign(admin, group, ROLE.user, '/keys/one');
    const body = { principalId: principal, groups: [group], action: SIGN, scope: '/keys/ONE' };
    expect((await ask(body)).json()).toMatchObject({
      allowed: true,
      action: SIGN,
      scope: '/keys/one',
      through: [
        {
          name: id,
          group,
          scope: '/keys/one',
          role: { name: ROLE.user, roleName: 'Managed HSM Crypto User' },
        },
      ],
      otherAssignments: [
        { scope: '/', reason: 'action not in role', role: { name: ROLE.auditor } },
      ],
    });
    expect((await ask({ ...body, scope: '/keys/two' })).json()).toMatchObject({
      allowed: false,
      through: [],
      otherAssignments: [{ reason: 'action not in role' }, { name: id, reason: 'other scope' }],
    });
    expect((await call('POST', '/access/explain', body)).status).toBe(403);
    call.close();
  });

  test.each([
    ['an unknown action', { action: 'keys/shred' }],
    ['more than one action', { action: `${AZURE}/keys/*` }],
    ['a scope that is none', { scope: '/secrets' }],
    ['no principal', { principalId: '' }],
  ])('of %s is refused', async (_what, wrong) => {
    const answer = await ask({ principalId: randomUUID(), action: SIGN, scope: '/', ...wrong });
    expect([answer.status, answer.json<Problem>().error.code]).toEqual([400, 'BadParameter']);
  });

  test('of a change that is not made says who gains and who loses what', async () => {
    const { id: principal, call } = await holding([]);
    const { id: role } = await define(admin, [{ dataActions: [`${AZURE}/keys/wrap/action`] }]);
    const { id } = await assign(admin, principal, role, '/keys');
    const friend = randomUUID();
    const answer = await admin('POST', '/access/dryrun', {
      changes: [
        { type: 'define', name: role, properties: { permissions: [{ dataActions: [SIGN] }] } },
        { type: 'assign', principalId: friend, roleDefinitionId: role, scope: '/keys/one' },
      ],
    });
    expect(answer.json()).toEqual({
      complete: true,
      gains: [
        { principalId: principal, scope: '/keys', actions: [SIGN] },
        { principalId: friend, scope: '/keys/one', actions: [SIGN] },
      ],
      losses: [{ principalId: principal, scope: '/keys', actions: [`${AZURE}/keys/wrap/action`] }],
    });
    const revoked = await admin('POST', '/access/dryrun', {
      changes: [{ type: 'revoke', name: id, scope: '/keys' }],
    });
    expect(revoked.json()).toMatchObject({ gains: [], losses: [{ principalId: principal }] });
    // Nothing of it has happened.
    expect((await admin('GET', `${PROVIDER}/roleDefinitions/${role}`)).text).toContain('keys/wrap');
    call.close();
  });
});

test('a refusal names the action and the scope', async () => {
  const { call } = await holding([]);
  const { error } = (await call('GET', '/keys/One')).json<Problem>();
  expect(error.code).toBe('AccessDenied');
  expect(error.message).toContain(
    `Not authorized to access ${AZURE}/keys/read/action on /keys/one`,
  );
  call.close();
});
