import { beforeAll, describe, expect, test } from '@jest/globals';
import { createAuthorizer } from '../../src/authz/enforcer.ts';
import { parseRoles, readBuiltInRoles } from '../../src/authz/built-in-roles.ts';
import { type Action, ACTIONS } from '../../src/core/access/actions.ts';
import { ServiceError } from '../../src/core/errors.ts';
import type { Authorizer, PolicyReader } from '../../src/core/access/ports.ts';
import type { Principal } from '../../src/core/access/principal.ts';
import type { Scope } from '../../src/core/access/role.ts';
import { FakeChangeFeed } from '../support/fakes/change-feed.ts';
import { ROLE } from '../support/roles.ts';

/**
 * Managed HSM's published matrix, written out here: A Administrator, O Crypto Officer, U Crypto User, P Policy
 * Administrator, E Crypto Service Encryption User, B Backup, D Crypto Auditor, R Release User, S Restore. Where we differ is
 * said in policies/README.md: keys/delete is the Officer's.
 */
const ROLES: Readonly<Record<string, string>> = {
  A: ROLE.administrator,
  O: ROLE.officer,
  U: ROLE.user,
  P: ROLE.policyAdministrator,
  E: ROLE.encryptionUser,
  B: ROLE.backup,
  D: ROLE.auditor,
  R: ROLE.releaseUser,
  S: ROLE.restore,
};
const MATRIX: Readonly<Record<string, string>> = {
  'securitydomain/download/action': 'A',
  'securitydomain/download/read': 'A',
  'securitydomain/upload/action': 'A',
  'securitydomain/upload/read': 'A',
  'securitydomain/transferkey/read': 'A',
  'keys/read/action': 'UED',
  'keys/write/action': 'U',
  'keys/rotate/action': 'U',
  'keys/create': 'U',
  'keys/delete': 'O',
  'keys/deletedKeys/read/action': 'OD',
  'keys/deletedKeys/recover/action': 'O',
  'keys/deletedKeys/delete': 'O',
  'keys/backup/action': 'UB',
  'keys/restore/action': 'US',
  'keys/release/action': 'UR',
  'keys/import/action': 'U',
  'keys/export/action': 'O',
  'keys/encrypt/action': 'U',
  'keys/decrypt/action': 'U',
  'keys/sign/action': 'U',
  'keys/verify/action': 'U',
  'keys/derive/action': 'U',
  'keys/wrap/action': 'UE',
  'keys/unwrap/action': 'UE',
  'rng/action': 'U',
  'roleAssignments/read/action': 'AOUPD',
  'roleAssignments/write/action': 'AOP',
  'roleAssignments/delete/action': 'AOP',
  'roleDefinitions/read/action': 'AOUPD',
  'roleDefinitions/write/action': 'AOP',
  'roleDefinitions/delete/action': 'AOP',
  'backup/start/action': 'AB',
  'backup/status/action': 'AB',
  'restore/start/action': 'AS',
  'restore/status/action': 'AS',
  'settings/read/action': 'A',
  'settings/write/action': 'A',
};
const OWN: Readonly<Record<string, string>> = {
  'Strongroom/audit/read/action': 'AD',
  'Strongroom/directory/read/action': 'A',
  'Strongroom/directory/write/action': 'A',
  'Strongroom/access/explain/action': 'A',
};
const TABLE = [
  ...Object.entries(MATRIX).map(
    ([name, roles]) => [`Microsoft.KeyVault/managedHsm/${name}`, roles] as const,
  ),
  ...Object.entries(OWN),
];
const ASSIGNED: readonly Scope[] = ['/', '/keys', '/keys/a'];
const ASKED: readonly Scope[] = ['/', '/keys', '/keys/a', '/keys/b'];
/** By scope of the assignment: the scopes of requests that it covers. */
const COVERS: Readonly<Record<string, readonly Scope[]>> = {
  '/': ASKED,
  '/keys': ['/keys', '/keys/a', '/keys/b'],
  '/keys/a': ['/keys/a'],
};

interface Held {
  readonly principalId: string;
  readonly roleDefinitionId: string;
  readonly scope: Scope;
}

/** Policies as the store gives them: only the lines of whom it is asked for. */
async function fakePolicies(held: Held[]) {
  const permissions = (await readBuiltInRoles()).flatMap(({ id, actions }) =>
    actions.map((action) => ({ roleDefinitionId: id, action })),
  );
  const state = { reads: 0, failure: undefined as Error | undefined };
  const policies: PolicyReader = {
    policyOf: (ids) => {
      state.reads += 1;
      if (state.failure !== undefined) return Promise.reject(state.failure);
      const assignments = held.filter(({ principalId }) => ids.includes(principalId));
      const roles = new Set(assignments.map(({ roleDefinitionId }) => roleDefinitionId));
      return Promise.resolve({
        assignments,
        permissions: permissions.filter(({ roleDefinitionId }) => roles.has(roleDefinitionId)),
      });
    },
  };
  return { policies, state };
}

function principal(objectId: string, groups: readonly string[] = []): Principal {
  return { tenantId: 't', objectId, groups };
}

async function setUp(held: Held[], feed = new FakeChangeFeed()) {
  const { policies, state } = await fakePolicies(held);
  const errors: unknown[] = [];
  const authorizer = await createAuthorizer({
    clock: { now: () => new Date() },
    policies,
    feed,
    callers: 1000,
    sharedPolicies: 100,
    decisions: 1000,
    onError: (error) => errors.push(error),
  });
  return { authorizer, feed, state, errors };
}

test('the table names every action that there is', () => {
  expect(TABLE.map(([action]) => action).sort()).toEqual([...ACTIONS].sort());
});

describe.each(Object.entries(ROLES))('role %s', (letter, roleDefinitionId) => {
  let authorizer: Authorizer;
  beforeAll(async () => {
    ({ authorizer } = await setUp(
      ASSIGNED.map((scope) => ({ principalId: `at ${scope}`, roleDefinitionId, scope })),
    ));
  });

  test.each(ASSIGNED)('held at %s allows what the matrix says, and no more', async (scope) => {
    const wrong: string[] = [];
    for (const [action, roles] of TABLE)
      for (const asked of ASKED) {
        const expected = roles.includes(letter) && COVERS[scope]?.includes(asked) === true;
        const actual = await authorizer.isAllowed(
          principal(`at ${scope}`),
          action as Action,
          asked,
        );
        if (actual !== expected) wrong.push(`${action} on ${asked}: ${String(actual)}`);
      }
    expect(wrong).toEqual([]);
  });
});

const SIGN: Action = 'Microsoft.KeyVault/managedHsm/keys/sign/action';
const USER = ROLES['U'] ?? '';

describe('a decision', () => {
  test('is no for whoever holds nothing', async () => {
    const { authorizer } = await setUp([]);
    for (const action of ACTIONS)
      expect(await authorizer.isAllowed(principal('nobody'), action, '/keys/a')).toBe(false);
  });

  test('counts the roles of the caller’s groups', async () => {
    const { authorizer } = await setUp([
      { principalId: 'group', roleDefinitionId: USER, scope: '/' },
    ]);
    expect(await authorizer.isAllowed(principal('member', ['group']), SIGN, '/keys/a')).toBe(true);
    expect(await authorizer.isAllowed(principal('member'), SIGN, '/keys/a')).toBe(false);
  });

  test('is read once, remembered, and made anew after a change of the caller’s or its groups’ assignments', async () => {
    const held: Held[] = [
      { principalId: 'one', roleDefinitionId: USER, scope: '/' },
      { principalId: 'group', roleDefinitionId: USER, scope: '/' },
    ];
    const { authorizer, feed, state } = await setUp(held);
    const asks = (who: Principal) => authorizer.isAllowed(who, SIGN, '/keys/a');
    const member = principal('member', ['group']);
    for (let turn = 0; turn < 5; turn += 1) expect(await asks(principal('one'))).toBe(true);
    expect(state.reads).toBe(1);
    expect(await asks(member)).toBe(true);
    held.length = 0;
    feed.publish({ topic: 'assignment', id: 'one' });
    expect(await asks(principal('one'))).toBe(false);
    feed.publish({ topic: 'assignment', id: 'group' });
    expect(await asks(member)).toBe(false);
  });

  test('is read every time while the feed is not to be believed', async () => {
    const { authorizer, feed, state } = await setUp([
      { principalId: 'one', roleDefinitionId: USER, scope: '/' },
    ]);
    feed.coherent = false;
    for (let turn = 0; turn < 3; turn += 1)
      expect(await authorizer.isAllowed(principal('one'), SIGN, '/keys')).toBe(true);
    expect(state.reads).toBe(3);
  });

  test('is no on an error, but an unreachable store is said to be one', async () => {
    const { authorizer, state, errors } = await setUp([
      { principalId: 'one', roleDefinitionId: USER, scope: '/' },
    ]);
    state.failure = new Error('broken');
    expect(await authorizer.isAllowed(principal('one'), SIGN, '/keys')).toBe(false);
    expect(errors).toEqual([state.failure]);
    state.failure = new ServiceError('StoreUnavailable', 'gone');
    await expect(authorizer.isAllowed(principal('one'), SIGN, '/keys')).rejects.toMatchObject({
      code: 'StoreUnavailable',
    });
  });
});

describe('policies/roles.csv', () => {
  test.each([
    ['x, y', 'line 1: a line begins with role or p'],
    [`role, ${USER}, User`, 'line 1: a role has an id, a name and a description'],
    [`p, ${USER}, ${SIGN}`, 'line 1: the role has not been named before'],
    [`role, ${USER}, User, Uses keys\np, ${USER}, keys/sing`, 'line 2: there is no such action'],
  ])('%j is refused: %s', (text, why) => {
    expect(() => parseRoles(text)).toThrow(why);
  });
});
