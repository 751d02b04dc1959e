import { beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID, X509Certificate } from 'node:crypto';
import {
  type ClientCertificate,
  makeClientCertificate,
} from '../../support/client-certificates.ts';
import { registerCertificate, signInByCertificate } from '../../support/certificate-sign-in.ts';
import { type Answer, createCaller, fetchToken } from '../../support/client.ts';
import {
  addSecret,
  assignRole,
  type Client,
  created,
  makeClient,
} from '../../support/directory.ts';
import { ROLE } from '../../support/roles.ts';
import { useSharedService } from '../../support/use-service.ts';
import { within } from '../../support/within.ts';

/** By then every process has heard of a change. */
const A_SECOND = 1_000;
const NOBODY = '00000000-0000-4000-8000-000000000000';

const { service, admin, atEnd } = useSharedService();
beforeAll(async () => {
  await created(admin('POST', '/keys/shared/create?api-version=7.4', { kty: 'EC-HSM' }));
});

async function signIn(client: Client): Promise<string> {
  await registerCertificate(admin, client);
  return signInByCertificate(service, client.appId);
}

/** Statuses of the same call over several new connections, which reach every worker process. */
async function everywhere(token: string): Promise<number[]> {
  const statuses = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const call = createCaller(service, token);
      const { status } = await call('GET', '/keys/shared?api-version=7.4');
      call.close();
      return status;
    }),
  );
  return [...new Set(statuses)];
}

function becomesEverywhere(token: string, expected: number): Promise<void> {
  return within(A_SECOND, async () => {
    const statuses = await everywhere(token);
    return statuses.every((status) => status === expected);
  });
}

const member = (id: string) => ({ '@odata.id': `https://any/v1.0/directoryObjects/${id}` });

describe('access ends', () => {
  test.each([
    [
      'a service principal is disabled',
      (client: Client) =>
        admin('PATCH', `/v1.0/servicePrincipals/${client.principalId}`, { accountEnabled: false }),
    ],
    [
      'a service principal is deleted',
      (client: Client) => admin('DELETE', `/v1.0/servicePrincipals/${client.principalId}`),
    ],
    [
      'an application is deleted',
      (client: Client) => admin('DELETE', `/v1.0/applications/${client.applicationId}`),
    ],
  ] as const)('within a second when %s, for tokens issued before too', async (_, end) => {
    const client = await makeClient(admin, 'leaver');
    await assignRole(admin, ROLE.user, client.principalId);
    const token = await signIn(client);
    expect(await everywhere(token)).toEqual([200]);
    expect((await end(client)).status).toBe(204);
    await becomesEverywhere(token, 401);
  });

  test('and comes back when the service principal is enabled again', async () => {
    const client = await makeClient(admin, 'returner');
    await assignRole(admin, ROLE.user, client.principalId);
    const token = await signIn(client);
    const path = `/v1.0/servicePrincipals/${client.principalId}`;
    await created(admin('PATCH', path, { accountEnabled: false }));
    expect((await admin('GET', path)).json()).toMatchObject({ accountEnabled: false });
    await becomesEverywhere(token, 401);
    await created(admin('PATCH', path, { accountEnabled: true }));
    await becomesEverywhere(token, 200);
  });
});

test('objects of all kinds are found by their ids, and others are not', async () => {
  const client = await makeClient(admin, 'found');
  const { id: group } = await created<{ id: string }>(
    admin('POST', '/v1.0/groups', { displayName: 'found too' }),
  );
  const ids = [client.principalId, group, NOBODY];
  const { value } = await created<{ value: object[] }>(
    admin('POST', '/v1.0/directoryObjects/getByIds', { ids, types: ['group'] }),
  );
  expect(value).toHaveLength(2);
  expect(value).toEqual(
    expect.arrayContaining([
      {
        '@odata.type': '#microsoft.graph.servicePrincipal',
        id: client.principalId,
        displayName: 'found',
      },
      { '@odata.type': '#microsoft.graph.group', id: group, displayName: 'found too' },
    ]),
  );
  expect(
    (await admin('POST', '/v1.0/directoryObjects/getByIds', { ids: ['no GUID'] })).status,
  ).toBe(400);
});

describe('groups', () => {
  test('give their members what they hold, through groups within groups, and take it away again', async () => {
    const client = await makeClient(admin, 'member');
    const token = await signIn(client);
    const [inner, outer] = await Promise.all(
      ['inner', 'outer'].map(async (displayName) => {
        const { id } = await created<{ id: string }>(
          admin('POST', '/v1.0/groups', { displayName, description: 'of a test' }),
        );
        return id;
      }),
    );
    expect(await everywhere(token)).toEqual([403]);
    await created(admin('POST', `/v1.0/groups/${inner}/members/$ref`, member(client.principalId)));
    await created(admin('POST', `/v1.0/groups/${outer}/members/$ref`, member(inner ?? '')));
    // A ring of groups ends.
    await created(admin('POST', `/v1.0/groups/${inner}/members/$ref`, member(outer ?? '')));
    await assignRole(admin, ROLE.user, outer ?? '');
    await becomesEverywhere(token, 200);
    const members = await admin('GET', `/v1.0/groups/${inner}/members`);
    expect(members.json<{ value: object[] }>().value).toEqual(
      expect.arrayContaining([
        {
          '@odata.type': '#microsoft.graph.servicePrincipal',
          id: client.principalId,
          displayName: 'member',
        },
        { '@odata.type': '#microsoft.graph.group', id: outer, displayName: 'outer' },
      ]),
    );
    await created(admin('DELETE', `/v1.0/groups/${inner}/members/${client.principalId}/$ref`));
    await becomesEverywhere(token, 403);
  });

  test('take their role assignments with them when they are deleted', async () => {
    const client = await makeClient(admin, 'orphan');
    const token = await signIn(client);
    const { id } = await created<{ id: string }>(
      admin('POST', '/v1.0/groups', { displayName: 'short-lived' }),
    );
    await created(admin('POST', `/v1.0/groups/${id}/members/$ref`, member(client.principalId)));
    await assignRole(admin, ROLE.user, id);
    await becomesEverywhere(token, 200);
    await created(admin('DELETE', `/v1.0/groups/${id}`));
    await becomesEverywhere(token, 403);
    expect((await admin('GET', `/v1.0/groups/${id}`)).status).toBe(404);
  });

  test.each([
    ['an unknown member', 404, member(NOBODY)],
    ['no reference', 400, {}],
    ['a reference to something else', 400, { '@odata.id': 'https://any/v1.0/applications/x' }],
  ] as const)('refuse %s with %i', async (_, status, body) => {
    const { id } = await created<{ id: string }>(
      admin('POST', '/v1.0/groups', { displayName: 'strict' }),
    );
    expect((await admin('POST', `/v1.0/groups/${id}/members/$ref`, body)).status).toBe(status);
  });
});

describe('users', () => {
  test('are made, read, found by name, changed and deleted', async () => {
    const userPrincipalName = `${randomUUID()}@example.org`;
    const identities = [
      {
        signInType: 'federated',
        issuer: 'https://idp.example.org',
        issuerAssignedId: randomUUID(),
      },
    ];
    const user = await created<{ id: string }>(
      admin('POST', '/v1.0/users', { displayName: 'Someone', userPrincipalName, identities }),
    );
    expect(user).toMatchObject({ accountEnabled: true, userPrincipalName, identities });
    for (const query of [
      "$filter=displayName%20eq%20'Someone'",
      "%24Filter=displayName%20eq%20'SOMEONE'",
    ]) {
      const found = await admin('GET', `/v1.0/users?${query}`);
      expect(found.json<{ value: object[] }>().value).toEqual([user]);
    }
    await created(admin('PATCH', `/v1.0/users/${user.id}`, { accountEnabled: false }));
    expect((await admin('GET', `/v1.0/users/${user.id}`)).json()).toEqual({
      ...user,
      accountEnabled: false,
    });
    const twice = await admin('POST', '/v1.0/users', {
      displayName: 'Another',
      userPrincipalName: userPrincipalName.toUpperCase(),
    });
    expect(twice.status).toBe(409);
    await created(admin('DELETE', `/v1.0/users/${user.id}`));
    expect((await admin('GET', `/v1.0/users/${user.id}`)).status).toBe(404);
  });
});

describe('applications', () => {
  const inLines = ({ certificate }: Pick<ClientCertificate, 'certificate'>) =>
    certificate.replace(/-----[A-Z ]+-----\n?/g, '').trim();
  const keyCredential = (key: string) => ({
    '@odata.type': '#microsoft.graph.keyCredential',
    displayName: null,
    key,
    keyId: randomUUID(),
    startDateTime: '2026-01-01T00:00:00Z',
    endDateTime: '2099-01-01T00:00:00Z',
    type: 'AsymmetricX509Cert',
    usage: 'Verify',
  });
  const keysOf = async (id: string) =>
    (await created<{ keyCredentials: object[] }>(admin('GET', `/v1.0/applications/${id}`)))
      .keyCredentials;

  test('come with a certificate, in lines as az sends it, that signs them in', async () => {
    const identity = await makeClientCertificate();
    const made = await created<{ id: string; appId: string; keyCredentials: object[] }>(
      admin('POST', '/v1.0/applications', {
        displayName: 'with a certificate',
        keyCredentials: [keyCredential(inLines(identity))],
        signInAudience: 'AzureADMyOrg',
        web: { redirectUris: [] },
      }),
    );
    expect(made.keyCredentials).toEqual([
      expect.objectContaining({ type: 'AsymmetricX509Cert', key: null }),
    ]);
    expect(await keysOf(made.id)).toEqual(made.keyCredentials);
    await created(admin('POST', '/v1.0/servicePrincipals', { appId: made.appId }));
    const tls = { cert: identity.certificate, key: identity.privateKey };
    const call = createCaller(service, undefined, tls);
    atEnd(call);
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: made.appId,
      scope: 'https://strongroom.localhost/.default',
    });
    const answer = await call('POST', '/adfs/oauth2/v2.0/token', form.toString(), {
      'Content-Type': 'application/x-www-form-urlencoded',
    });
    expect(answer.status).toBe(200);
  });

  test('are not made with a certificate that nobody can sign in with, nor with a password', async () => {
    const { certificate } = await makeClientCertificate();
    const undated = new X509Certificate(certificate).raw;
    // The last digit of its first UTCTime.
    undated.write('?', undated.indexOf(Buffer.from([0x17, 13])) + 13);
    const endless = { ...keyCredential(inLines({ certificate })), endDateTime: 'tomorrow' };
    for (const body of [
      { keyCredentials: [keyCredential(undated.toString('base64'))] },
      { keyCredentials: [keyCredential('AAAA')] },
      { keyCredentials: [keyCredential('no base64!')] },
      { keyCredentials: [keyCredential(certificate)] },
      { keyCredentials: [{ ...keyCredential(''), key: null }] },
      { keyCredentials: [endless] },
      { keyCredentials: {} },
      { passwordCredentials: [{ displayName: 'x', secretText: 'of my own' }] },
    ]) {
      const displayName = `refused ${randomUUID()}`;
      const { status } = await admin('POST', '/v1.0/applications', { displayName, ...body });
      const filter = encodeURIComponent(`displayName eq '${displayName}'`);
      const found = await admin('GET', `/v1.0/applications?$filter=${filter}`);
      expect([body, status, found.json()]).toEqual([body, 400, { value: [] }]);
      const { applicationId } = await makeClient(admin, 'strict');
      const change = await admin('PATCH', `/v1.0/applications/${applicationId}`, body);
      expect([body, change.status]).toEqual([body, 400]);
    }
  });

  test('keep what a change does not name, and their service principal has their name', async () => {
    const client = await makeClient(admin, 'before');
    const path = `/v1.0/applications/${client.applicationId}`;
    const key = inLines(await makeClientCertificate());
    await created(admin('PATCH', path, { keyCredentials: [keyCredential(key)] }), 204);
    const keys = await keysOf(client.applicationId);
    await created(admin('PATCH', path, { displayName: 'after' }), 204);
    await created(admin('PATCH', path, { web: { homePageUrl: 'https://x' }, tags: [] }), 204);
    expect((await admin('GET', path)).json()).toMatchObject({
      displayName: 'after',
      keyCredentials: keys,
    });
    const principal = await admin('GET', `/v1.0/servicePrincipals/${client.principalId}`);
    expect(principal.json()).toMatchObject({ displayName: 'after', accountEnabled: true });
    // As az appends one: those that are there come back without their keys.
    const more = [...keys, keyCredential(inLines(await makeClientCertificate()))];
    await created(admin('PATCH', path, { displayName: 'both', keyCredentials: more }), 204);
    expect(await keysOf(client.applicationId)).toHaveLength(2);
    expect(await keysOf(client.applicationId)).toEqual(expect.arrayContaining(keys));
    expect((await admin('GET', path)).json()).toMatchObject({ displayName: 'both' });
    await created(admin('PATCH', path, { keyCredentials: [] }), 204);
    expect(await keysOf(client.applicationId)).toEqual([]);
  });

  test('have no password that ends later than a date can be written', async () => {
    const { applicationId } = await makeClient(admin, 'dated');
    const path = `/v1.0/applications/${applicationId}/addPassword`;
    for (const passwordCredential of [
      { endDateTime: '9999-12-31T23:59:59-23:59' },
      { startDateTime: '9999-01-01T00:00:00Z' },
    ])
      expect((await admin('POST', path, { passwordCredential })).status).toBe(400);
  });

  test('may have a service principal that is disabled from the start', async () => {
    const { appId } = await created<{ appId: string }>(
      admin('POST', '/v1.0/applications', { displayName: 'x' }),
    );
    const body = { appId, accountEnabled: false };
    const principal = await created(admin('POST', '/v1.0/servicePrincipals', body));
    expect(principal).toMatchObject(body);
  });
});

describe('a change of an entry', () => {
  const make = async (list: string, body: object) =>
    (await created<{ id: string }>(admin('POST', `/v1.0/${list}`, body))).id;
  const makers = {
    applications: async () => (await makeClient(admin, 'changed')).applicationId,
    servicePrincipals: async () => (await makeClient(admin, 'changed')).principalId,
    users: () =>
      make('users', {
        displayName: 'changed',
        userPrincipalName: `${randomUUID()}@example.org`,
        mailNickname: 'changed',
        passwordProfile: { password: 'means nothing here' },
      }),
    groups: () =>
      make('groups', {
        displayName: 'changed',
        description: 'a text',
        mailNickname: 'changed',
        mailEnabled: false,
        securityEnabled: true,
      }),
  } as const;
  const change = async (kind: keyof typeof makers, body: unknown) => {
    const path = `/v1.0/${kind}/${await makers[kind]()}`;
    const before = await created<object>(admin('GET', path));
    const { status } = await admin('PATCH', path, body);
    return { status, before, after: await created<object>(admin('GET', path)) };
  };

  test.each([
    ['applications', { displayName: 'x' }],
    ['servicePrincipals', { displayName: 'x' }],
    ['servicePrincipals', { accountEnabled: false }],
    ['users', { displayName: 'x' }],
    ['users', { accountEnabled: false }],
    ['users', { mailNickname: 'x' }],
    ['users', { mailNickname: null }],
    ['users', { userPrincipalName: 'someone.else@example.org' }],
    ['groups', { displayName: 'x' }],
    ['groups', { description: 'x' }],
    ['groups', { description: null }],
    ['groups', { mailNickname: 'x', displayName: 'x' }],
  ] as const)('of %s, %j, is made, and nothing else', async (kind, body) => {
    const { status, before, after } = await change(kind, body);
    expect([status, after]).toEqual([204, { ...before, ...body }]);
  });

  test.each(['applications', 'servicePrincipals', 'users', 'groups'] as const)(
    'of %s that names nothing changes nothing, of an entry that is there',
    async (kind) => {
      for (const body of [{}, '', { '@odata.type': `#microsoft.graph.${kind}` }]) {
        const { status, before, after } = await change(kind, body);
        expect([body, status, after]).toEqual([body, 204, before]);
      }
      for (const body of [{}, { displayName: 'x' }])
        expect((await admin('PATCH', `/v1.0/${kind}/${NOBODY}`, body)).status).toBe(404);
    },
  );

  test.each([
    [
      'users',
      [{ accountEnabled: false }, { displayName: 'x' }, { mailNickname: 'x' }, { identities: [] }],
    ],
    ['groups', [{ description: 'x' }, { displayName: 'x' }, { mailNickname: 'x' }]],
    ['servicePrincipals', [{ accountEnabled: false }, { displayName: 'x' }]],
  ] as const)('of %s takes back nothing of another at the same moment', async (kind, bodies) => {
    for (let round = 0; round < 5; round += 1) {
      const path = `/v1.0/${kind}/${await makers[kind]()}`;
      const before = await created<object>(admin('GET', path));
      const answers = await Promise.all(bodies.map((body) => admin('PATCH', path, body)));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([204]));
      const after = await created(admin('GET', path));
      expect(after).toEqual(Object.assign({}, before, ...bodies));
    }
  });

  test.each([
    ['applications', { displayName: null }],
    ['applications', { displayName: 7 }],
    ['applications', { displayName: '' }],
    ['applications', { displayName: 'x', keyCredentials: null }],
    ['applications', { displayName: 'x', keyCredentials: [{ key: 'AAAA' }] }],
    ['applications', { displayName: 'x', passwordCredentials: [] }],
    ['applications', { displayName: 'x', appId: NOBODY }],
    ['applications', { displayName: 'x', web: 'a text' }],
    ['applications', { displayname: 'x' }],
    ['applications', []],
    ['servicePrincipals', { accountEnabled: null }],
    ['servicePrincipals', { accountEnabled: 'false' }],
    ['servicePrincipals', { displayName: 'x', servicePrincipalNames: ['api://x'] }],
    ['users', { displayName: 'x', accountEnabled: null }],
    ['users', { displayName: 'x', identities: null }],
    ['users', { displayName: 'x', mailNickname: 'two words' }],
    ['users', { userPrincipalName: null }],
    ['groups', { displayName: 'x', securityEnabled: false }],
    ['groups', { displayName: 'x', mailEnabled: true }],
    ['groups', { displayName: 'x', groupTypes: ['Unified'] }],
    ['groups', { displayName: 'x', 'members@odata.bind': [] }],
    ['groups', { displayName: 'x', description: 7 }],
    ['groups', { displayName: null, description: 'x' }],
  ] as const)('of %s, %j, is refused, and nothing of it is done', async (kind, body) => {
    const { status, before, after } = await change(kind, body);
    expect([status, after]).toEqual([400, before]);
  });
});

describe('memberships', () => {
  const group = async (displayName: string) => {
    const body = { displayName, mailNickname: displayName };
    return (await created<{ id: string }>(admin('POST', '/v1.0/groups', body))).id;
  };
  const join = (groupId: string, id: string) =>
    created(admin('POST', `/v1.0/groups/${groupId}/members/$ref`, member(id)));

  test('are told of users, service principals and groups, through groups within groups', async () => {
    const userPrincipalName = `Ada-${randomUUID()}@Example.org`;
    const [inner, outer] = [await group('inner'), await group('outer')];
    const other = await group('other');
    const { principalId } = await makeClient(admin, 'member');
    const { id: user } = await created<{ id: string }>(
      admin('POST', '/v1.0/users', { displayName: 'Ada', userPrincipalName }),
    );
    await join(inner, user);
    await join(inner, principalId);
    await join(outer, inner);
    // A ring: nobody is a member of itself by it.
    await join(inner, outer);
    const groupIds = [outer.toUpperCase(), other, NOBODY];
    for (const [path, all] of [
      [`users/${user}`, [inner, outer]],
      [`users/${userPrincipalName.toLowerCase()}`, [inner, outer]],
      [`servicePrincipals/${principalId}`, [inner, outer]],
      [`directoryObjects/${principalId}`, [inner, outer]],
      [`directoryObjects/${user.toUpperCase()}`, [inner, outer]],
      [`groups/${inner}`, [outer]],
      [`directoryObjects/${inner}`, [outer]],
      [`groups/${other}`, []],
    ] as const) {
      const ask = async (name: string, body: object) => {
        const { value } = await created<{ value: string[] }>(
          admin('POST', `/v1.0/${path}/${name}`, body),
        );
        return [path, ...value.sort()];
      };
      const expected = [path, ...[...all].sort()];
      for (const securityEnabledOnly of [true, false, null]) {
        expect(await ask('getMemberGroups', { securityEnabledOnly })).toEqual(expected);
        expect(await ask('getMemberObjects', { securityEnabledOnly })).toEqual(expected);
      }
      const held = [path, ...all.filter((id) => id === outer)];
      expect(await ask('checkMemberGroups', { groupIds })).toEqual(held);
      expect(await ask('checkMemberObjects', { ids: groupIds })).toEqual(held);
    }
    await created(admin('DELETE', `/v1.0/groups/${outer}/members/${inner}/$ref`));
    const left = await admin('POST', `/v1.0/users/${user}/getMemberGroups`, {});
    expect(left.json()).toMatchObject({ value: [inner] });
  });

  test.each([
    ['of nobody', `directoryObjects/${NOBODY}/checkMemberGroups`, { groupIds: [] }, 404],
    ['of a group that is none', `groups/${NOBODY}/getMemberGroups`, {}, 404],
    ['of a user without such a name', 'users/nobody@example.org/getMemberGroups', {}, 404],
    ['of no id', 'directoryObjects/x/checkMemberGroups', { groupIds: [] }, 400],
    ['without groups', `directoryObjects/${NOBODY}/checkMemberGroups`, {}, 400],
    ['in no groups', `directoryObjects/${NOBODY}/checkMemberGroups`, { groupIds: ['x'] }, 400],
    [
      'in too many groups',
      `directoryObjects/${NOBODY}/checkMemberGroups`,
      { groupIds: Array<string>(21).fill(NOBODY) },
      400,
    ],
    ['of a wrong kind', `groups/${NOBODY}/getMemberGroups`, { securityEnabledOnly: 'x' }, 400],
  ] as const)('%s are refused', async (_, path, body, status) => {
    expect((await admin('POST', `/v1.0/${path}`, body)).status).toBe(status);
  });

  test('of a service principal are not told as those of a user', async () => {
    const { principalId } = await makeClient(admin, 'no user');
    const path = `/v1.0/users/${principalId}/getMemberGroups`;
    expect((await admin('POST', path, {})).status).toBe(404);
  });
});

describe('lists', () => {
  const find = async (list: string, filter: string) => {
    const answer = await admin('GET', `/v1.0/${list}?$filter=${encodeURIComponent(filter)}`);
    return answer.status === 200
      ? answer.json<{ value: { id: string }[] }>().value.map(({ id }) => id)
      : answer.status;
  };

  test('are narrowed by what az asks for', async () => {
    const displayName = `narrow ${randomUUID()}`;
    const mailNickname = `Nick-${randomUUID()}`;
    const { id } = await created<{ id: string }>(
      admin('POST', '/v1.0/groups', { displayName, mailNickname }),
    );
    const named = `displayName eq '${displayName}'`;
    expect(await find('groups', `${named} and mailNickname eq '${mailNickname}'`)).toEqual([id]);
    expect(await find('groups', `mailNickname eq '${mailNickname.toLowerCase()}'`)).toEqual([id]);
    expect(await find('groups', `startswith(mailNickname,'nick-') and ${named}`)).toEqual([id]);
    expect(await find('groups', `${named} and mailNickname eq 'another'`)).toEqual([]);
    expect(await find('groups', `${named} and securityEnabled eq true`)).toEqual([id]);
    expect(await find('groups', `${named} and mailEnabled eq true`)).toEqual([]);
    expect(await find('groups', `${named} or ${named}`)).toBe(400);
    expect(await find('applications', "identifierUris/any(s:s eq 'api://x')")).toEqual([]);
  });

  test('of users are narrowed by their names, and each is found by its own', async () => {
    const userPrincipalName = `Upn-${randomUUID()}@example.org`;
    const { id } = await created<{ id: string }>(
      admin('POST', '/v1.0/users', { displayName: 'x', userPrincipalName }),
    );
    const filter = `userPrincipalName eq '${userPrincipalName.toUpperCase()}'`;
    expect(await find('users', filter)).toEqual([id]);
    expect(await find('users', `${filter} and accountEnabled eq false`)).toEqual([]);
    const path = `/v1.0/users/${userPrincipalName.toLowerCase()}`;
    expect((await admin('GET', path)).json()).toMatchObject({ id });
    await created(admin('PATCH', path, { displayName: 'y' }), 204);
    await created(admin('DELETE', path), 204);
    expect((await admin('GET', path)).status).toBe(404);
  });

  test('of members are not narrowed, rather than given whole', async () => {
    const { id } = await created<{ id: string }>(
      admin('POST', '/v1.0/groups', { displayName: 'x' }),
    );
    expect(await find(`groups/${id}/members`, "displayName eq 'x'")).toBe(400);
  });
});

describe('a path of the directory that there is none', () => {
  test('is not found, and never counts as a refused credential', async () => {
    const nobody = createCaller(service, await signIn(await makeClient(admin, 'lost')));
    atEnd(nobody);
    for (const call of [admin, nobody])
      for (const [method, path] of [
        ['GET', '/v1.0/devices'],
        ['GET', '/v1.0'],
        ['POST', '/v1.0/applications/x/y/z'],
        ['PUT', '/v1.0/users'],
        ['OPTIONS', '/v1.0/users'],
        ['DELETE', '/v1.0/groups'],
      ] as const) {
        const answer = await call(method, path);
        expect([path, answer.status, answer.json()]).toMatchObject([
          path,
          404,
          { error: { code: 'NotFound' } },
        ]);
      }
    // More than may be refused of one address in a second.
    const many = await Promise.all(Array.from({ length: 60 }, () => admin('GET', '/v1.0/devices')));
    expect([...new Set(many.map(({ status }) => status))]).toEqual([404]);
  });

  test("is not found with a token for Graph either, be it of Graph's beta", async () => {
    const client = await makeClient(admin, 'reader of Graph');
    const graph = createCaller(
      service,
      await fetchToken(
        service,
        { clientId: client.appId, clientSecret: await addSecret(admin, client) },
        'https://graph.microsoft.com',
      ),
    );
    atEnd(graph);
    for (const path of ['/v1.0/devices', '/v1.0', '/beta/users', '/Beta/devices', '/%62eta'])
      expect([path, (await graph('GET', path)).status]).toEqual([path, 404]);
    for (const path of ['/keys', '/betas'])
      expect([path, (await graph('GET', path)).status]).toEqual([path, 401]);
  });

  test('is not told of to strangers', async () => {
    for (const token of [undefined, 'a.b.c']) {
      const stranger = createCaller(service, token);
      atEnd(stranger);
      for (const path of ['/v1.0/devices', '/v1.0/users'])
        expect((await stranger('GET', path)).status).toBe(401);
    }
  });
});

test("another pool's directory is not here, nor is the sign-in to it", async () => {
  const at = (pool: string) => ({ Host: `${pool}.strongroom.localhost:${service.port}` });
  for (const [method, path, status] of [
    ['GET', '/v1.0/users', 200],
    ['GET', '/v1.0/devices', 404],
    ['GET', '/keys?api-version=7.4', 200],
    ['GET', '/adfs/v2.0/.well-known/openid-configuration', 200],
    ['GET', '/adfs/discovery/v2.0/keys', 200],
    ['GET', '/metadata/endpoints', 200],
    ['GET', '/common/discovery/instance', 200],
    ['POST', '/adfs/oauth2/v2.0/token', 400],
  ] as const) {
    const elsewhere = await admin(method, path, undefined, at('other'));
    expect([path, elsewhere.status, elsewhere.json()]).toMatchObject([
      path,
      404,
      { error: { code: 'PoolNotFound' } },
    ]);
    expect([path, (await admin(method, path, undefined, at('main'))).status]).toEqual([
      path,
      status,
    ]);
  }
});

describe('a role', () => {
  const ASSIGNMENTS = 'providers/Microsoft.Authorization/roleAssignments';
  const give = (principalId: string, scope = '/keys/shared', name: string = randomUUID()) =>
    admin('PUT', `${scope}/${ASSIGNMENTS}/${name}`, {
      properties: { roleDefinitionId: ROLE.user, principalId },
    });
  const assignedTo = async (principalId: string, scope = '/keys/shared') => {
    const filter = encodeURIComponent(`principalId eq '${principalId}'`);
    const list = await admin('GET', `${scope}/${ASSIGNMENTS}?$filter=${filter}`);
    return list.json<{ value: { name: string }[] }>().value.map(({ name }) => name);
  };
  const message = (answer: Answer) => answer.json<{ error: { message: string } }>().error.message;

  test("is not given to an application's own ids, and the refusal names its service principal", async () => {
    const client = await makeClient(admin, 'confused');
    const undashed = client.appId.replaceAll('-', '');
    for (const id of [
      ...[client.appId, client.appId.toUpperCase(), client.applicationId],
      // As Python's uuid, and so az, takes a GUID.
      ...[undashed, undashed.toUpperCase(), `urn:uuid:${client.appId}`],
    ]) {
      const asked = { principalId: id, action: 'Microsoft.KeyVault/managedHsm/keys/sign/action' };
      for (const answer of [
        await give(id),
        await give(id, ''),
        await admin('POST', '/access/explain', { ...asked, scope: '/keys/shared' }),
        await admin('POST', '/access/dryrun', {
          changes: [{ type: 'assign', principalId: id, roleDefinitionId: ROLE.user, scope: '/' }],
        }),
      ])
        expect([answer.status, message(answer)]).toEqual([
          400,
          expect.stringContaining(client.principalId),
        ]);
      expect(await assignedTo(id, '')).toEqual([]);
    }
    expect((await give(client.principalId)).status).toBe(201);
  });

  test('is not given to the id of a service principal that is spelled as it never is again', async () => {
    const { principalId } = await makeClient(admin, 'misspelled');
    for (const id of [principalId.replaceAll('-', ''), `URN:UUID:${principalId}`]) {
      const answer = await give(id);
      expect([answer.status, message(answer)]).toEqual([400, expect.stringContaining(principalId)]);
    }
    expect((await give(randomUUID().replaceAll('-', ''))).status).toBe(201);
  });

  test('is not given to an application that has no service principal, and the refusal says so', async () => {
    const { id, appId } = await created<{ id: string; appId: string }>(
      admin('POST', '/v1.0/applications', { displayName: 'alone' }),
    );
    for (const principalId of [id, appId]) {
      const answer = await give(principalId);
      expect([answer.status, message(answer)]).toEqual([400, expect.stringContaining(appId)]);
    }
  });

  test("may be given to another issuer's principals, of whom the directory knows nothing", async () => {
    expect((await give(randomUUID())).status).toBe(201);
  });

  test.each([
    ['Alice@example.com', 'ALICE@Example.COM'],
    ['bob|Acme', 'BOB|acme'],
    [randomUUID().toUpperCase(), undefined],
  ])('that %s holds is found under the name in any case', async (principalId, other) => {
    const name = randomUUID();
    expect((await give(principalId, '/keys/shared', name)).status).toBe(201);
    const written = [principalId, other ?? principalId, principalId.toLowerCase()];
    for (const id of [...written, principalId.toUpperCase()]) {
      expect(await assignedTo(id)).toEqual([name]);
      // The same again, under its own name and under another.
      expect((await give(id, '/keys/shared', name)).status).toBe(201);
      expect((await give(id)).status).toBe(409);
      const explained = await admin('POST', '/access/explain', {
        principalId: id,
        action: 'Microsoft.KeyVault/managedHsm/keys/sign/action',
        scope: '/keys/shared',
      });
      expect(explained.json()).toMatchObject({ allowed: true, through: [{ name }] });
    }
    await created(admin('DELETE', `/keys/shared/${ASSIGNMENTS}/${name}`));
    for (const id of written) expect(await assignedTo(id)).toEqual([]);
  });
});

test('nobody reads or changes the directory without its actions', async () => {
  const client = await makeClient(admin, 'curious');
  await assignRole(admin, ROLE.user, client.principalId);
  const call = createCaller(service, await signIn(client));
  atEnd(call);
  for (const [method, path] of [
    ['GET', '/v1.0/users'],
    ['POST', '/v1.0/groups'],
    ['PATCH', `/v1.0/servicePrincipals/${client.principalId}`],
    ['PATCH', `/v1.0/applications/${client.applicationId}`],
    ['POST', `/v1.0/applications/${client.applicationId}/federatedIdentityCredentials`],
  ] as const)
    expect([path, (await call(method, path, {})).status]).toEqual([path, 403]);
});
