import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type Caller, createCaller, fetchToken } from '../support/client.ts';
import {
  addSecret,
  assignRole,
  type Client,
  created,
  makeClient,
  ROLE,
  signInAdministrator,
} from '../support/directory.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';

/** By then every process has heard of a change. */
const A_SECOND = 1_000;
const NOBODY = '00000000-0000-4000-8000-000000000000';

let service: RunningService;
let admin: Caller & { close(): void };
const callers: { close(): void }[] = [];
beforeAll(async () => {
  service = await startService(await makeDataFolder());
  admin = await signInAdministrator(service);
  callers.push(admin);
  await created(admin('POST', '/keys/shared/create?api-version=7.4', { kty: 'EC-HSM' }));
});
afterAll(async () => {
  for (const caller of callers) caller.close();
  await service.stop();
  await removeDataFolder(service.dataFolder);
});

async function signIn(client: Client): Promise<string> {
  return fetchToken(service, {
    clientId: client.appId,
    clientSecret: await addSecret(admin, client),
  });
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
    await delay(A_SECOND);
    expect(await everywhere(token)).toEqual([401]);
  });

  test('and comes back when the service principal is enabled again', async () => {
    const client = await makeClient(admin, 'returner');
    await assignRole(admin, ROLE.user, client.principalId);
    const token = await signIn(client);
    const path = `/v1.0/servicePrincipals/${client.principalId}`;
    await created(admin('PATCH', path, { accountEnabled: false }));
    expect((await admin('GET', path)).json()).toMatchObject({ accountEnabled: false });
    await created(admin('PATCH', path, { accountEnabled: true }));
    await delay(A_SECOND);
    expect(await everywhere(token)).toEqual([200]);
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
    await delay(A_SECOND);
    expect(await everywhere(token)).toEqual([200]);
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
    await delay(A_SECOND);
    expect(await everywhere(token)).toEqual([403]);
  });

  test('take their role assignments with them when they are deleted', async () => {
    const client = await makeClient(admin, 'orphan');
    const token = await signIn(client);
    const { id } = await created<{ id: string }>(
      admin('POST', '/v1.0/groups', { displayName: 'short-lived' }),
    );
    await created(admin('POST', `/v1.0/groups/${id}/members/$ref`, member(client.principalId)));
    await assignRole(admin, ROLE.user, id);
    await delay(A_SECOND);
    expect(await everywhere(token)).toEqual([200]);
    await created(admin('DELETE', `/v1.0/groups/${id}`));
    await delay(A_SECOND);
    expect(await everywhere(token)).toEqual([403]);
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
    const found = await admin('GET', "/v1.0/users?$filter=displayName%20eq%20'Someone'");
    expect(found.json<{ value: object[] }>().value).toEqual([user]);
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

test('nobody reads or changes the directory without its actions', async () => {
  const client = await makeClient(admin, 'curious');
  await assignRole(admin, ROLE.user, client.principalId);
  const call = createCaller(service, await signIn(client));
  callers.push(call);
  for (const [method, path] of [
    ['GET', '/v1.0/users'],
    ['POST', '/v1.0/groups'],
    ['PATCH', `/v1.0/servicePrincipals/${client.principalId}`],
    ['PATCH', `/v1.0/applications/${client.applicationId}`],
    ['POST', `/v1.0/applications/${client.applicationId}/federatedIdentityCredentials`],
  ] as const)
    expect([path, (await call(method, path, {})).status]).toEqual([path, 403]);
});
