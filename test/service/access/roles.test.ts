import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { makePrincipal } from '../../support/administrator.ts';
import { ROLE } from '../../support/roles.ts';
import { useSharedService } from '../../support/use-service.ts';

/**
 * Who may what, written out from Managed HSM's published matrix (with the one difference that policies/README.md states:
 * deleting keys belongs to the Crypto Officer), not taken from the service's own data.
 */
const ROLES = {
  Administrator: ROLE.administrator,
  'Crypto Officer': ROLE.officer,
  'Crypto User': ROLE.user,
  'Crypto Service Encryption User': ROLE.encryptionUser,
} as const;
type Role = keyof typeof ROLES;

type Place = 'pool' | 'all keys' | 'one key';

interface Failure {
  readonly error: { readonly code: string };
}

interface Operation {
  readonly name: string;
  /** At what the request aims: an assignment covers it at this place and above. */
  readonly aims: Place;
  readonly allowed: readonly Role[];
  readonly method: string;
  readonly path: (key: string) => string;
  readonly body?: unknown;
}

const USER: readonly Role[] = ['Crypto User'];
const READERS: readonly Role[] = ['Crypto User', 'Crypto Service Encryption User'];
const OFFICER: readonly Role[] = ['Crypto Officer'];
const OFFICER_ADMIN: readonly Role[] = ['Administrator', 'Crypto Officer'];
const ROLE_READERS: readonly Role[] = ['Administrator', 'Crypto Officer', 'Crypto User'];
const value = 'AAAAAAAAAAAAAAAAAAAAAA';
const PROVIDER = 'providers/Microsoft.Authorization';
const GUID = '00000000-0000-4000-8000-000000000000';

const key = (
  name: string,
  allowed: readonly Role[],
  method: string,
  path: (key: string) => string,
  body?: unknown,
): Operation => ({ name, aims: 'one key', allowed, method, path, body });

/** Rows 1 to 20 of Managed HSM's key operations, then the role calls at each scope. */
const OPERATIONS: readonly Operation[] = [
  key('create', USER, 'POST', (k) => `/keys/${k}/create`, { kty: 'oct-HSM', key_size: 128 }),
  key('import', USER, 'PUT', (k) => `/keys/${k}`, { key: { kty: 'oct', k: value } }),
  key('rotate', USER, 'POST', (k) => `/keys/${k}/rotate`),
  key('get', READERS, 'GET', (k) => `/keys/${k}`),
  key('list versions', READERS, 'GET', (k) => `/keys/${k}/versions`),
  { name: 'list', aims: 'all keys', allowed: READERS, method: 'GET', path: () => '/keys' },
  key('update', USER, 'PATCH', (k) => `/keys/${k}`, { tags: { a: 'b' } }),
  key('encrypt', USER, 'POST', (k) => `/keys/${k}/encrypt`, { alg: 'A128GCM', value }),
  key('decrypt', USER, 'POST', (k) => `/keys/${k}/decrypt`, {
    alg: 'A128GCM',
    value,
    iv: 'AAAAAAAAAAAAAAAA',
    tag: value,
  }),
  key('wrap', READERS, 'POST', (k) => `/keys/${k}/wrapkey`, { alg: 'A128KW', value }),
  key('unwrap', READERS, 'POST', (k) => `/keys/${k}/unwrapkey`, {
    alg: 'A128KW',
    value: `${value}AAAAAAAAAA`,
  }),
  key('sign', USER, 'POST', (k) => `/keys/${k}/sign`, { alg: 'HS256', value }),
  key('verify', USER, 'POST', (k) => `/keys/${k}/verify`, { alg: 'HS256', digest: value, value }),
  key('release', USER, 'POST', (k) => `/keys/${k}/release`, {
    target: 'a.b.c',
    enc: 'none',
  }),
  key('attestation', READERS, 'GET', (k) => `/keys/${k}/attestation`),
  key('backup', USER, 'POST', (k) => `/keys/${k}/backup`),
  {
    name: 'restore',
    aims: 'all keys',
    allowed: USER,
    method: 'POST',
    path: () => '/keys/restore',
    body: { value },
  },
  key('delete', OFFICER, 'DELETE', (k) => `/keys/${k}`),
  key('get deleted', OFFICER, 'GET', (k) => `/deletedkeys/${k}`),
  {
    name: 'list deleted',
    aims: 'all keys',
    allowed: OFFICER,
    method: 'GET',
    path: () => '/deletedkeys',
  },
  key('recover', OFFICER, 'POST', (k) => `/deletedkeys/${k}/recover`),
  ...(
    [
      ['pool', () => ''],
      ['all keys', () => '/keys'],
      ['one key', (k: string) => `/keys/${k}`],
    ] as const
  ).flatMap(([aims, at]: readonly [Place, (k: string) => string]): Operation[] => [
    {
      name: `list role definitions of ${aims}`,
      aims,
      allowed: ROLE_READERS,
      method: 'GET',
      path: (k) => `${at(k)}/${PROVIDER}/roleDefinitions`,
    },
    {
      name: `get a role definition at ${aims}`,
      aims,
      allowed: ROLE_READERS,
      method: 'GET',
      path: (k) => `${at(k)}/${PROVIDER}/roleDefinitions/${ROLES['Crypto User']}`,
    },
    {
      name: `list role assignments of ${aims}`,
      aims,
      allowed: ROLE_READERS,
      method: 'GET',
      path: (k) => `${at(k)}/${PROVIDER}/roleAssignments`,
    },
    {
      name: `get a role assignment at ${aims}`,
      aims,
      allowed: ROLE_READERS,
      method: 'GET',
      path: (k) => `${at(k)}/${PROVIDER}/roleAssignments/${GUID}`,
    },
    {
      name: `make a role assignment at ${aims}`,
      aims,
      allowed: OFFICER_ADMIN,
      method: 'PUT',
      path: (k) => `${at(k)}/${PROVIDER}/roleAssignments/${randomUUID()}`,
      body: {
        properties: {
          roleDefinitionId: ROLES['Crypto Service Encryption User'],
          principalId: GUID,
        },
      },
    },
    {
      name: `remove a role assignment at ${aims}`,
      aims,
      allowed: OFFICER_ADMIN,
      method: 'DELETE',
      path: (k) => `${at(k)}/${PROVIDER}/roleAssignments/${GUID}`,
    },
  ]),
  // Last: with the key its assignments go.
  key('purge', OFFICER, 'DELETE', (k) => `/deletedkeys/${k}`),
];

/** Where a role is held, and what that reaches: `K` stands for the key of the assignment. */
const HELD_AT: readonly { place: Place; scope: (k: string) => string }[] = [
  { place: 'pool', scope: () => '' },
  { place: 'all keys', scope: () => '/keys' },
  { place: 'one key', scope: (k) => `/keys/${k}` },
];
const ORDER: readonly Place[] = ['pool', 'all keys', 'one key'];
const covers = (held: Place, aimed: Place) => ORDER.indexOf(held) <= ORDER.indexOf(aimed);

const { service, admin } = useSharedService();

describe.each(Object.keys(ROLES) as Role[])('a %s', (role) => {
  describe.each(HELD_AT)('with its role at $place', ({ place, scope }) => {
    const own = `own-${role.toLowerCase().replaceAll(' ', '-')}-${place.replace(' ', '-')}`;
    const other = `other-${own}`;
    let principal: Awaited<ReturnType<typeof makePrincipal>>;

    beforeAll(async () => {
      for (const name of [own, other])
        await admin('POST', `/keys/${name}/create`, { kty: 'oct-HSM', key_size: 128 });
      principal = await makePrincipal(admin, service);
      const made = await admin('PUT', `${scope(own)}/${PROVIDER}/roleAssignments/${randomUUID()}`, {
        properties: { roleDefinitionId: ROLES[role], principalId: principal.id },
      });
      expect(made.status).toBe(201);
    });
    afterAll(() => {
      principal.call.close();
    });

    test.each(OPERATIONS)(
      '$name: as the matrix says',
      async ({ allowed, aims, method, path, body }) => {
        const answer = await principal.call(method, path(own), body);
        const isAllowed = allowed.includes(role) && covers(place, aims);
        expect({
          isAllowed: answer.status !== 403,
          isUnknown: answer.status === 401,
          code: answer.status === 403 ? answer.json<Failure>().error.code : undefined,
        }).toEqual({
          isAllowed,
          isUnknown: false,
          code: isAllowed ? undefined : 'AccessDenied',
        });
      },
    );

    test.each(OPERATIONS.filter(({ aims }) => aims === 'one key'))(
      '$name on another key: as the matrix says',
      async ({ allowed, method, path, body }) => {
        const answer = await principal.call(method, path(other), body);
        expect(answer.status !== 403).toBe(allowed.includes(role) && place !== 'one key');
      },
    );
  });
});
