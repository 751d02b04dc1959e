import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { RoleAssignment, RoleDefinition, Scope } from '../../../src/core/access/role.ts';
import { openPoolFeed } from '../../support/change-feed.ts';
import { seedRoles } from '../../../src/store/access/role-definition-store.ts';
import { createRoleStore } from '../../../src/store/access/role-store.ts';
import { makePool, newChange, openStoreDatabase, processOf } from '../../support/store.ts';

const database = await openStoreDatabase();
const { db } = database;
afterAll(() => database.close());

let context: ReturnType<typeof processOf>;
let roles: ReturnType<typeof createRoleStore>;
beforeEach(async () => {
  context = processOf(db, await makePool(db));
  roles = createRoleStore(context);
});

/** As a start of the service does it; here permissions come to what is written in them. */
const seed = (definitions: Parameters<typeof seedRoles>[2]) =>
  seedRoles(
    context,
    newChange(),
    definitions,
    (permissions) => new Set(permissions.flatMap(({ dataActions }) => dataActions)),
  );

const reader = randomUUID();
const signer = randomUUID();

function role(id: string, actions: readonly string[]): RoleDefinition & { actions: string[] } {
  return {
    id,
    roleName: `Role ${id}`,
    description: '',
    kind: 'built-in',
    permissions: [{ dataActions: actions, notDataActions: ['keys/delete'] }],
    assignableScopes: ['/'],
    actions: [...actions],
  };
}

async function assign(
  principalId: string,
  scope: Scope,
  roleDefinitionId = reader,
): Promise<RoleAssignment> {
  const assignment = { id: randomUUID(), principalId, roleDefinitionId, scope };
  await roles.putAssignment(assignment, 1_700_000_000, newChange());
  return assignment;
}

const page = { limit: 100 };
const scopesOf = (items: readonly RoleAssignment[]) => items.map(({ scope }) => scope).sort();

describe('built-in roles', () => {
  test('are listed in the order in which they are given, and found by their id', async () => {
    const definitions = [role(signer, ['sign']), role(reader, ['read'])];
    await seed(definitions);
    expect((await roles.listDefinitions(page)).items.map(({ id }) => id)).toEqual([signer, reader]);
    const { actions, ...expected } = role(reader, ['read']);
    expect(actions).toEqual(['read']);
    await expect(roles.findDefinition(reader)).resolves.toEqual(expected);
    await expect(roles.findDefinition(randomUUID())).resolves.toBeUndefined();
  });

  test('that are written again are as the newer definition says, without what it left out', async () => {
    await assign('alice', '/');
    await seed([role(reader, ['read', 'purge', 'list'])]);
    const renamed = { ...role(reader, ['read', 'get']), roleName: 'Renamed' };
    await seed([renamed]);
    const { permissions } = await roles.policyOf(['alice']);
    expect(permissions.map(({ action }) => action).sort()).toEqual(['get', 'read']);
    await expect(roles.findDefinition(reader)).resolves.toMatchObject({ roleName: 'Renamed' });
  });

  test('may grant nothing at all', async () => {
    await assign('alice', '/');
    await seed([role(reader, ['read'])]);
    await seed([role(reader, [])]);
    await expect(roles.policyOf(['alice'])).resolves.toMatchObject({ permissions: [] });
  });

  test('are published to every process when their permissions change, and only then', async () => {
    const published: unknown[] = [];
    const feed = await openPoolFeed({
      url: database.serviceUrl,
      poolId: context.poolId,
      onError: () => undefined,
    });
    feed.subscribe((change) => published.push(change));
    const reseed = async (actions: readonly string[]) => {
      published.length = 0;
      await seed([role(reader, actions)]);
      await delay(400);
      return [...published];
    };
    const change = { topic: 'role', id: reader };
    expect(await reseed(['read', 'purge'])).toEqual([change]);
    expect(await reseed(['read', 'purge'])).toEqual([]);
    expect(await reseed(['read'])).toEqual([change]);
    await feed.close();
  });

  test('of one pool are not those of another', async () => {
    await seed([role(reader, ['read'])]);
    const elsewhere = createRoleStore(processOf(db, await makePool(db)));
    await expect(elsewhere.listDefinitions(page)).resolves.toEqual({ items: [] });
    await expect(elsewhere.findDefinition(reader)).resolves.toBeUndefined();
  });
});

describe('the policy of principals', () => {
  test('is their assignments and the permissions of the roles in them, and no one else’s', async () => {
    await seed([role(reader, ['read']), role(signer, ['sign'])]);
    await assign('alice', '/keys/one');
    await assign('staff', '/keys');
    await assign('bob', '/', signer);
    await expect(roles.policyOf(['alice', 'staff'])).resolves.toEqual({
      assignments: expect.arrayContaining([
        expect.objectContaining({ principalId: 'alice', scope: '/keys/one' }),
        expect.objectContaining({ principalId: 'staff', scope: '/keys' }),
      ]),
      permissions: [{ roleDefinitionId: reader, action: 'read' }],
    });
    expect((await roles.policyOf(['alice', 'staff'])).assignments).toHaveLength(2);
  });

  test.each([[[]], [['nobody']]])('%j is empty', async (principals) => {
    await expect(roles.policyOf(principals)).resolves.toEqual({ assignments: [], permissions: [] });
  });

  test('with a role that is not defined grants nothing', async () => {
    await assign('alice', '/', randomUUID());
    await expect(roles.policyOf(['alice'])).resolves.toMatchObject({
      assignments: [{ scope: '/' }],
      permissions: [],
    });
  });

  test('distinguishes principals by case, and by every character', async () => {
    await assign('alice', '/');
    for (const principal of ['Alice', 'alice ', 'alic', '%', 'a_ice'])
      expect((await roles.policyOf([principal])).assignments).toEqual([]);
  });

  test('of one pool is not that of another', async () => {
    await assign('alice', '/');
    const elsewhere = createRoleStore(processOf(db, await makePool(db)));
    expect((await elsewhere.policyOf(['alice'])).assignments).toEqual([]);
  });
});

describe('an assignment', () => {
  test('is found by its id at its own scope only', async () => {
    const made = await assign('alice', '/keys');
    await expect(roles.findAssignment(made.id, '/keys')).resolves.toEqual(made);
    for (const scope of ['/', '/keys/keys'] as const) {
      await expect(roles.findAssignment(made.id, scope)).resolves.toBeUndefined();
      await expect(roles.deleteAssignment(made.id, scope, newChange())).resolves.toBeUndefined();
    }
    await expect(roles.deleteAssignment(made.id, '/keys', newChange())).resolves.toEqual(made);
    await expect(roles.findAssignment(made.id, '/keys')).resolves.toBeUndefined();
  });

  test('that is made again the very same is no error', async () => {
    const made = await assign('alice', '/keys');
    await roles.putAssignment(made, 1_700_000_000, newChange());
    expect((await roles.policyOf(['alice'])).assignments).toHaveLength(1);
  });

  test('that several make at the same moment, the very same, is no error for any of them', async () => {
    for (let round = 0; round < 10; round += 1) {
      const made = {
        id: randomUUID(),
        principalId: `principal-${round}`,
        roleDefinitionId: reader,
        scope: '/keys',
      } as const;
      await Promise.all(
        [1, 2, 3, 4].map(() => roles.putAssignment(made, 1_700_000_000, newChange())),
      );
      expect((await roles.policyOf([made.principalId])).assignments).toHaveLength(1);
    }
  });

  test.each([
    ['its id for another principal', { principalId: 'bob' }],
    ['its id for another role', { roleDefinitionId: signer }],
    ['its id at another scope', { scope: '/' }],
    ['another id for the same', { id: '00000000-0000-4000-8000-000000000001' }],
  ] as const)('refuses %s', async (_, changed) => {
    const made = await assign('alice', '/keys');
    await expect(
      roles.putAssignment({ ...made, ...changed }, 1_700_000_000, newChange()),
    ).rejects.toMatchObject({ code: 'RoleAssignmentExists' });
    await expect(roles.findAssignment(made.id, '/keys')).resolves.toEqual(made);
    expect((await roles.policyOf(['alice', 'bob'])).assignments).toHaveLength(1);
  });

  test('may have the id that one of another pool has', async () => {
    const made = await assign('alice', '/keys');
    const elsewhere = createRoleStore(processOf(db, await makePool(db)));
    await elsewhere.putAssignment({ ...made, principalId: 'bob' }, 1_700_000_000, newChange());
    await expect(roles.findAssignment(made.id, '/keys')).resolves.toEqual(made);
    await elsewhere.deleteAssignment(made.id, '/keys', newChange());
    await expect(roles.findAssignment(made.id, '/keys')).resolves.toEqual(made);
  });
});

describe('a list of assignments', () => {
  const all: readonly Scope[] = ['/', '/keys', '/keys/one', '/keys/one-more', '/keys/two'];
  beforeEach(async () => {
    for (const scope of all) await assign('alice', scope);
    await assign('bob', '/keys/one');
  });

  test.each<[Scope, boolean, boolean, readonly Scope[]]>([
    ['/', false, false, ['/']],
    ['/', true, false, ['/']],
    ['/', true, true, all],
    ['/keys', false, false, ['/keys']],
    ['/keys', true, false, ['/', '/keys']],
    ['/keys', false, true, all.slice(1)],
    ['/keys', true, true, all],
    ['/keys/one', false, false, ['/keys/one']],
    ['/keys/one', true, false, ['/', '/keys', '/keys/one']],
    ['/keys/one', true, true, ['/', '/keys', '/keys/one']],
    ['/keys/three', true, true, ['/', '/keys']],
  ])('at %s, above: %s, below: %s', async (scope, above, below, expected) => {
    const { items } = await roles.listAssignments(
      { scope, above, below, principalId: 'alice' },
      page,
    );
    expect(scopesOf(items)).toEqual([...expected].sort());
  });

  test('without a principal is of everyone', async () => {
    const { items } = await roles.listAssignments(
      { scope: '/keys/one', above: false, below: false },
      page,
    );
    expect(items.map(({ principalId }) => principalId).sort()).toEqual(['alice', 'bob']);
  });
});

test('assignments from before principals were kept in lower case are the same from then on, and the longest stays', async () => {
  const expires = { later: 2_000_000_000, sooner: 1_900_000_000 };
  const add = async (principalId: string, scope: Scope, expiresOn?: number) => {
    const end = expiresOn === undefined ? {} : { expiresOn };
    const assignment = { id: randomUUID(), principalId, roleDefinitionId: reader, scope, ...end };
    await roles.putAssignment(assignment, 1_700_000_000, newChange());
    return assignment;
  };
  await add('Alice@example.com', '/keys', expires.sooner);
  const endless = await add('alice@Example.com', '/keys');
  await add('ALICE@example.com', '/keys', expires.later);
  const elsewhere = await add('Alice@example.com', '/keys/one', expires.sooner);
  const other = await add('bob@example.com', '/keys');
  const file = new URL('../../../sql/0066_principal_case.sql', import.meta.url);
  const owner = new pg.Client(database.ownerUrl);
  await owner.connect();
  await owner.query(await readFile(file, 'utf8'));
  await owner.end();
  const { assignments } = await roles.policyOf(['alice@example.com', 'bob@example.com']);
  expect(assignments).toHaveLength(3);
  expect(assignments).toEqual(
    expect.arrayContaining([
      { ...endless, principalId: 'alice@example.com' },
      { ...elsewhere, principalId: 'alice@example.com' },
      other,
    ]),
  );
});
