import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { makeClientCertificate } from '../../support/client-certificates.ts';
import { registerCertificate, signInByCertificate } from '../../support/certificate-sign-in.ts';
import { type Answer, type Caller, createCaller } from '../../support/client.ts';
import {
  addSecret,
  assignRole,
  type Client,
  created,
  makeClient,
} from '../../support/directory.ts';
import { outsideRsa, wrapForTransfer } from '../../support/plain-keys.ts';
import { listRoutes } from '../../support/routes.ts';
import { ROLE } from '../../support/roles.ts';
import { useSharedService } from '../../support/use-service.ts';

/**
 * Everything by which somebody who may write the directory, and no more, could come to be or to belong to what holds more
 * than it does, or could take away its way in from who holds control.
 */

const ROLES = '/providers/Microsoft.Authorization';
const ISSUER = 'https://idp.example';

const { service, admin, atEnd } = useSharedService();
/** Holds a custom role with the directory's actions alone. */
let writer: Caller & { close(): void };
let writerClient: Client;
let directoryRole: string;
let certificate: string;

beforeAll(async () => {
  directoryRole = await define(['Strongroom/directory/read/action', WRITE]);
  writerClient = await makeClient(admin, 'writer');
  await assignRole(admin, directoryRole, writerClient.principalId);
  writer = await signIn(writerClient);
  for (const name of ['one', 'two'])
    await created(admin('POST', `/keys/${name}/create`, { kty: 'EC-HSM' }));
  const pem = (await makeClientCertificate()).certificate;
  certificate = pem.replaceAll(/-----[A-Z ]+-----|\s/g, '');
}, 90_000);

const WRITE = 'Strongroom/directory/write/action';

async function define(dataActions: readonly string[]): Promise<string> {
  const id = randomUUID();
  await created(
    admin('PUT', `${ROLES}/roleDefinitions/${id}`, {
      properties: { roleName: `role ${id}`, permissions: [{ dataActions }] },
    }),
  );
  return id;
}
async function signIn(client: Client): Promise<Caller & { close(): void }> {
  await registerCertificate(admin, client);
  const token = await signInByCertificate(service, client.appId);
  const caller = createCaller(service, token);
  atEnd(caller);
  return caller;
}
const reference = (id: string) => ({ '@odata.id': `https://any/v1.0/directoryObjects/${id}` });
const makeGroup = async () =>
  (await created<{ id: string }>(admin('POST', '/v1.0/groups', { displayName: 'a group' }))).id;
const addMember = (by: Caller, group: string, member: string) =>
  by('POST', `/v1.0/groups/${group}/members/$ref`, reference(member));
const identityOf = (subject: string) => [
  { signInType: 'federated', issuer: ISSUER, issuerAssignedId: subject },
];
const makeUser = async (subject: string = randomUUID(), more: object = {}) =>
  (
    await created<{ id: string }>(
      admin('POST', '/v1.0/users', {
        displayName: 'a user',
        userPrincipalName: `${randomUUID()}@example.org`,
        identities: identityOf(subject),
        ...more,
      }),
    )
  ).id;

/** Objects that hold a role: themselves, or through a group in a group. */
interface Target {
  readonly client: Client;
  readonly password: string;
  readonly federated: string;
  readonly user: string;
  readonly disabledUser: string;
  readonly disabled: Client;
  /** A group that holds the role, or is in one that does. */
  readonly group: string;
  /** The subject of an identity that by itself holds the role: its object id is the subject. */
  readonly subject: string;
  readonly userOfSubject: string;
}

async function makeTarget(role: string, scope: string, isNested: boolean): Promise<Target> {
  const client = await makeClient(admin, 'a target');
  const disabled = await makeClient(admin, 'a disabled target');
  const [user, disabledUser, group] = [
    await makeUser(),
    await makeUser(randomUUID(), { accountEnabled: false }),
    await makeGroup(),
  ];
  await addSecret(admin, client);
  const { passwordCredentials } = await created<{ passwordCredentials: { keyId: string }[] }>(
    admin('GET', `/v1.0/applications/${client.applicationId}`),
  );
  await created(
    admin('PATCH', `/v1.0/applications/${client.applicationId}`, {
      keyCredentials: [{ key: certificate }],
    }),
  );
  const { id: federated } = await created<{ id: string }>(
    admin('POST', `/v1.0/applications/${client.applicationId}/federatedIdentityCredentials`, {
      name: 'first',
      issuer: ISSUER,
      subject: randomUUID(),
      audiences: ['api'],
    }),
  );
  await created(
    admin('PATCH', `/v1.0/servicePrincipals/${disabled.principalId}`, { accountEnabled: false }),
  );
  const subject = randomUUID();
  const members = [client.principalId, disabled.principalId, user, disabledUser];
  if (isNested) {
    const outer = await makeGroup();
    for (const member of members) await created(addMember(admin, group, member));
    await created(addMember(admin, outer, group));
    await assignRole(admin, role, outer, scope);
  } else for (const member of [...members, group]) await assignRole(admin, role, member, scope);
  await assignRole(admin, role, subject, scope);
  const userOfSubject = await makeUser(subject);
  return {
    client,
    password: passwordCredentials[0]?.keyId ?? '',
    federated,
    user,
    disabledUser,
    disabled,
    group,
    subject,
    userOfSubject,
  };
}

interface Way {
  /** As the application knows it. */
  readonly route: string;
  readonly what: string;
  readonly ask: (by: Caller, target: Target, me: string) => Promise<Answer>;
}
const applicationOf = ({ client }: Target) => `/v1.0/applications/${client.applicationId}`;

/** Each makes who asks, or another, become or join the target. */
const WAYS_UP: readonly Way[] = [
  {
    route: 'POST /v1.0/applications/:/addPassword',
    what: 'a secret',
    ask: (by, target) => by('POST', `${applicationOf(target)}/addPassword`, {}),
  },
  {
    route: 'PATCH /v1.0/applications/:',
    what: 'a certificate more',
    ask: async (by, target) =>
      by('PATCH', applicationOf(target), {
        keyCredentials: [
          { key: certificate },
          {
            key: (await makeClientCertificate()).certificate.replaceAll(
              /-----[A-Z ]+-----|\s/g,
              '',
            ),
          },
        ],
      }),
  },
  {
    route: 'POST /v1.0/applications/:/federatedIdentityCredentials',
    what: 'a federated credential',
    ask: (by, target) =>
      by('POST', `${applicationOf(target)}/federatedIdentityCredentials`, {
        name: `n${randomUUID()}`,
        issuer: 'https://mine.example',
        subject: randomUUID(),
        audiences: ['api'],
      }),
  },
  {
    route: 'POST /v1.0/groups/:/members/$ref',
    what: 'itself as a member',
    ask: (by, { group }, me) => addMember(by, group, me),
  },
  {
    route: 'POST /v1.0/groups/:/members/$ref',
    what: 'another as a member',
    ask: async (by, { group }) => addMember(by, group, await makeUser()),
  },
  {
    route: 'POST /v1.0/groups/:/members/$ref',
    what: 'a group that it is in as a member',
    ask: async (by, { group }, me) => {
      const mine = await makeGroup();
      await created(addMember(by, mine, me));
      return addMember(by, group, mine);
    },
  },
  {
    route: 'PATCH /v1.0/users/:',
    what: 'its own identity',
    ask: (by, { user }) =>
      by('PATCH', `/v1.0/users/${user}`, { identities: identityOf(randomUUID()) }),
  },
  {
    route: 'PATCH /v1.0/users/:',
    what: 'another name, so that its own is free for others',
    ask: (by, { user }) =>
      by('PATCH', `/v1.0/users/${user}`, {
        userPrincipalName: `${randomUUID()}@example.org`,
      }),
  },
  {
    route: 'PATCH /v1.0/users/:',
    what: 'being enabled',
    ask: (by, { disabledUser }) =>
      by('PATCH', `/v1.0/users/${disabledUser}`, { accountEnabled: true }),
  },
  {
    route: 'PATCH /v1.0/servicePrincipals/:',
    what: 'being enabled',
    ask: (by, { disabled }) =>
      by('PATCH', `/v1.0/servicePrincipals/${disabled.principalId}`, { accountEnabled: true }),
  },
  {
    route: 'PATCH /v1.0/users/:',
    what: 'an identity back that holds it by itself',
    ask: (by, { userOfSubject }) => by('PATCH', `/v1.0/users/${userOfSubject}`, { identities: [] }),
  },
  {
    route: 'DELETE /v1.0/users/:',
    what: 'an identity back, by the removal of its user',
    ask: async (by, target) => {
      await admin('PATCH', `/v1.0/users/${target.userOfSubject}`, {
        identities: identityOf(target.subject),
      });
      return by('DELETE', `/v1.0/users/${target.userOfSubject}`);
    },
  },
];

/** Each takes from the target a way in, or all of it. */
const WAYS_OUT: readonly Way[] = [
  {
    route: 'PATCH /v1.0/users/:',
    what: 'an identity',
    ask: (by, { user }) => by('PATCH', `/v1.0/users/${user}`, { identities: [] }),
  },
  {
    route: 'PATCH /v1.0/users/:',
    what: 'being enabled, of a user',
    ask: (by, { user }) => by('PATCH', `/v1.0/users/${user}`, { accountEnabled: false }),
  },
  {
    route: 'POST /v1.0/users',
    what: 'what an identity holds by itself, by a user who has nothing',
    ask: async (by, target) => {
      await admin('DELETE', `/v1.0/users/${target.userOfSubject}`);
      return by('POST', '/v1.0/users', {
        displayName: 'nobody',
        userPrincipalName: `${randomUUID()}@example.org`,
        identities: identityOf(target.subject),
      });
    },
  },
  {
    route: 'POST /v1.0/applications/:/removePassword',
    what: 'a secret',
    ask: (by, target) =>
      by('POST', `${applicationOf(target)}/removePassword`, { keyId: target.password }),
  },
  {
    route: 'PATCH /v1.0/applications/:',
    what: 'a certificate',
    ask: (by, target) => by('PATCH', applicationOf(target), { keyCredentials: [] }),
  },
  {
    route: 'DELETE /v1.0/applications/:/federatedIdentityCredentials/:',
    what: 'a federated credential',
    ask: (by, target) =>
      by('DELETE', `${applicationOf(target)}/federatedIdentityCredentials/${target.federated}`),
  },
  {
    route: 'PATCH /v1.0/servicePrincipals/:',
    what: 'being enabled',
    ask: (by, { client }) =>
      by('PATCH', `/v1.0/servicePrincipals/${client.principalId}`, { accountEnabled: false }),
  },
  {
    route: 'DELETE /v1.0/groups/:/members/:/$ref',
    what: 'a member',
    ask: async (by, { group, client }) => {
      await addMember(admin, group, client.principalId);
      return by('DELETE', `/v1.0/groups/${group}/members/${client.principalId}/$ref`);
    },
  },
  {
    route: 'DELETE /v1.0/groups/:',
    what: 'a group',
    ask: (by, { group }) => by('DELETE', `/v1.0/groups/${group}`),
  },
  {
    route: 'DELETE /v1.0/users/:',
    what: 'a user',
    ask: (by, { user }) => by('DELETE', `/v1.0/users/${user}`),
  },
];
/** Last, since nothing is left of the target then. */
const REMOVALS: readonly Way[] = [
  {
    route: 'DELETE /v1.0/servicePrincipals/:',
    what: 'a service principal',
    ask: (by, { client }) => by('DELETE', `/v1.0/servicePrincipals/${client.principalId}`),
  },
  {
    route: 'DELETE /v1.0/applications/:',
    what: 'an application',
    ask: (by, target) => by('DELETE', applicationOf(target)),
  },
];

/** Changes of the directory that neither give nor take anything: what is new holds nothing, a name is a name. */
const HARMLESS = [
  'POST /v1.0/applications',
  'POST /v1.0/servicePrincipals',
  'POST /v1.0/groups',
  'PATCH /v1.0/groups/:',
  // Questions.
  'POST /v1.0/directoryObjects/getByIds',
  'POST /v1.0/directoryObjects/:/checkMemberGroups',
  'POST /v1.0/directoryObjects/:/getMemberGroups',
  'POST /v1.0/directoryObjects/:/getMemberObjects',
  'POST /v1.0/directoryObjects/:/checkMemberObjects',
  ...['groups', 'users', 'servicePrincipals'].flatMap((kind) =>
    ['checkMemberGroups', 'getMemberGroups', 'getMemberObjects', 'checkMemberObjects'].map(
      (question) => `POST /v1.0/${kind}/:/${question}`,
    ),
  ),
];

test('every route that changes the directory is known here as a way up, a way out, or harmless', () => {
  const known = new Set([
    ...[...WAYS_UP, ...WAYS_OUT, ...REMOVALS].map(({ route }) => route),
    ...HARMLESS,
  ]);
  const unknown = listRoutes()
    .filter(({ method, path }) => method !== 'GET' && path.startsWith('/v1.0/'))
    .map(({ method, path }) => `${method} ${path.replaceAll(/:[A-Za-z]+/g, ':')}`)
    .filter((route) => !known.has(route));
  expect(unknown).toEqual([]);
});

const codeOf = (answer: Answer) =>
  answer.status < 300 ? 'done' : answer.json<{ error: { code: string } }>().error.code;

describe.each([
  ['itself', false],
  ['through a group in a group', true],
])('who may write the directory and no more, of what holds more %s', (_, isNested) => {
  test.each([
    ['Administrator', ROLE.administrator, ''],
    ['the use of one key', ROLE.encryptionUser, '/keys/one'],
  ])(
    '%s: becomes it in no way, nor joins it; an Administrator opens each',
    async (_what, role, scope) => {
      const target = await makeTarget(role, scope, isNested);
      const { principalId: me } = writerClient;
      for (const { route, what, ask } of WAYS_UP)
        expect([route, what, codeOf(await ask(writer, target, me))]).toEqual([
          route,
          what,
          'AccessDenied',
        ]);
      const other = await makeClient(admin, 'another');
      for (const { route, what, ask } of WAYS_UP)
        expect([route, what, codeOf(await ask(admin, target, other.principalId))]).toEqual([
          route,
          what,
          'done',
        ]);
    },
    60_000,
  );

  test('control: takes away none of its ways in; an Administrator may', async () => {
    const target = await makeTarget(ROLE.administrator, '', isNested);
    const { principalId: me } = writerClient;
    for (const [by, expected] of [
      [writer, 'AccessDenied'],
      [admin, 'done'],
    ] as const)
      for (const { route, what, ask } of [...WAYS_OUT, ...REMOVALS])
        expect([route, what, codeOf(await ask(by, target, me))]).toEqual([route, what, expected]);
  }, 60_000);
});

test('who may write the directory does its work: of what holds no more than itself it changes all', async () => {
  const client = await makeClient(writer, 'a service');
  await created(writer('POST', `/v1.0/applications/${client.applicationId}/addPassword`, {}));
  // Its own secret, and that of who holds the same.
  const { applicationId } = writerClient;
  await created(writer('POST', `/v1.0/applications/${applicationId}/addPassword`, {}));
  const equal = await makeClient(admin, 'equal');
  await assignRole(admin, directoryRole, equal.principalId);
  await created(writer('POST', `/v1.0/applications/${equal.applicationId}/addPassword`, {}));
  // Of who holds more it changes what gives nobody anything.
  const more = await makeClient(admin, 'more');
  await assignRole(admin, ROLE.user, more.principalId, '/keys/one');
  const user = await makeUser();
  await assignRole(admin, ROLE.administrator, user);
  const renamed = await writer('PATCH', `/v1.0/users/${user}`, { displayName: 'another name' });
  const enabled = await writer('PATCH', `/v1.0/servicePrincipals/${more.principalId}`, {
    accountEnabled: true,
  });
  expect([renamed.status, enabled.status]).toEqual([204, 204]);
});

test('what is held until an end opens no way to what is held without one, nor one scope to a wider', async () => {
  const [caller, target] = [await makeClient(admin, 'caller'), await makeClient(admin, 'target')];
  await assignRole(admin, directoryRole, caller.principalId);
  const call = await signIn(caller);
  const add = () => call('POST', `/v1.0/applications/${target.applicationId}/addPassword`, {});
  const assign = (principalId: string, scope: string, more: object = {}) =>
    created(
      admin('PUT', `${scope}${ROLES}/roleAssignments/${randomUUID()}`, {
        properties: { roleDefinitionId: ROLE.encryptionUser, principalId, ...more },
      }),
    );
  await assign(target.principalId, '/keys');
  expect((await add()).status).toBe(403);
  await assign(caller.principalId, '/keys/one');
  expect((await add()).status).toBe(403);
  await assign(caller.principalId, '/keys', {
    expiresOn: new Date(Date.now() + 3_600_000).toISOString(),
  });
  expect((await add()).status).toBe(403);
  await assign(caller.principalId, '');
  expect((await add()).status).toBe(200);
});

test('who may write the directory and assignments gives an object of the directory no more than it holds', async () => {
  const role = await define([
    WRITE,
    'Microsoft.KeyVault/managedHsm/roleAssignments/write/action',
    'Microsoft.KeyVault/managedHsm/roleDefinitions/write/action',
    'Microsoft.KeyVault/managedHsm/keys/read/action',
  ]);
  const caller = await makeClient(admin, 'caller');
  await assignRole(admin, role, caller.principalId);
  const call = await signIn(caller);
  const puppet = await makeClient(call, 'puppet');
  const assign = (roleDefinitionId: string, principalId: string) =>
    call('PUT', `${ROLES}/roleAssignments/${randomUUID()}`, {
      properties: { roleDefinitionId, principalId },
    });
  expect((await assign(ROLE.user, puppet.principalId)).status).toBe(403);
  const id = randomUUID();
  const write = (action: string) =>
    call('PUT', `${ROLES}/roleDefinitions/${id}`, {
      properties: { roleName: id, permissions: [{ dataActions: [action] }] },
    });
  await created(write('Microsoft.KeyVault/managedHsm/keys/read/action'));
  await created(assign(id, puppet.principalId));
  // Nor by what becomes of the role.
  expect((await write('Microsoft.KeyVault/managedHsm/keys/sign/action')).status).toBe(403);
  // Others than those of the directory it can't become.
  expect((await assign(ROLE.user, randomUUID())).status).toBe(201);
});

describe('a key exchange key that a transfer blob names', () => {
  const IMPORT = '/keys/theirs';
  const blob = (kid: string, ciphertext: Buffer) =>
    Buffer.from(
      JSON.stringify({
        schema_version: '1.0.0',
        header: { kid, alg: 'dir', enc: 'CKM_RSA_AES_KEY_WRAP' },
        ciphertext: ciphertext.toString('base64url'),
        generator: 'a test',
      }),
    ).toString('base64url');

  test('is used by who may import there too, and says nothing of itself to others, whatever its state', async () => {
    const makeExchange = async (name: string, more: object = {}) => {
      const { key } = await created<{ key: { kid: string; n: string; e: string } }>(
        admin('POST', `/keys/${name}/create`, {
          kty: 'RSA-HSM',
          key_ops: ['import'],
          ...more,
        }),
      );
      return key;
    };
    const exchange = await makeExchange('exchange');
    const disabled = await makeExchange('exchange-disabled', { attributes: { enabled: false } });
    const other = await created<{ key: { kid: string } }>(
      admin('POST', '/keys/no-exchange/create', { kty: 'RSA-HSM' }),
    );
    const importer = await makeClient(admin, 'importer');
    await assignRole(admin, ROLE.user, importer.principalId, '/keys/theirs');
    const call = await signIn(importer);
    const { createPublicKey } = await import('node:crypto');
    const publicKey = createPublicKey({
      key: { kty: 'RSA', n: exchange.n, e: exchange.e },
      format: 'jwk',
    });
    const key = outsideRsa(2048).privateKey.export({ format: 'der', type: 'pkcs8' });
    const wrapped = wrapForTransfer(publicKey, key);
    const importBy = (by: Caller, kid: string, bytes = wrapped) =>
      by('PUT', IMPORT, { key: { kty: 'RSA-HSM', key_hsm: blob(kid, bytes) } });
    const host = 'https://any.example';
    const refused = [
      exchange.kid,
      disabled.kid,
      other.key.kid,
      `${exchange.kid.slice(0, -32)}${'0'.repeat(32)}`,
      `${host}/keys/nowhere/${'0'.repeat(32)}`,
    ];
    for (const kid of refused) {
      const answer = await importBy(call, kid);
      const name = kid.split('/').at(-2) ?? '';
      expect([answer.status, answer.json()]).toMatchObject([
        403,
        { error: { code: 'AccessDenied' } },
      ]);
      expect(answer.text).toContain(
        `Not authorized to access Microsoft.KeyVault/managedHsm/keys/import/action on /keys/${name}`,
      );
    }
    expect(codeOf(await importBy(call, exchange.kid, Buffer.alloc(300)))).toBe('AccessDenied');
    // Use without import there isn't enough.
    await assignRole(admin, ROLE.encryptionUser, importer.principalId, '/keys/exchange');
    expect((await importBy(call, exchange.kid)).status).toBe(403);
    await assignRole(admin, ROLE.user, importer.principalId, '/keys/EXCHANGE');
    expect((await importBy(call, exchange.kid)).status).toBe(200);
  }, 60_000);
});
