import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type BuiltInRole, readBuiltInRoles } from '../../src/authz/built-in-roles.ts';
import { effectiveActions } from '../../src/core/access/action-pattern.ts';
import type { RoleDefinition } from '../../src/core/access/role.ts';
import { seedRoles } from '../../src/store/access/role-definition-store.ts';
import { createRoleStore } from '../../src/store/access/role-store.ts';
import type { Pool } from '../../src/store/pool/pool-store.ts';
import { eventsOf, makePool, newChange, openStoreDatabase, processOf } from '../support/store.ts';

const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

const database = await openStoreDatabase();
const { db } = database;
afterAll(() => database.close());

const builtIn = await readBuiltInRoles();
const [first, ...others] = builtIn as readonly [BuiltInRole, ...BuiltInRole[]];

/** As an older version had them: one knew an action less and had another description, and the last one didn't exist. */
const OLDER: readonly RoleDefinition[] = [
  {
    ...first,
    description: 'As it was',
    permissions: [{ dataActions: first.actions.slice(1), notDataActions: [] }],
  },
  ...others.slice(0, -1),
];
const CUSTOM: RoleDefinition = {
  id: randomUUID(),
  roleName: 'All of keys',
  description: 'of its own',
  kind: 'custom',
  permissions: [{ dataActions: ['Microsoft.KeyVault/managedHsm/keys/*'], notDataActions: [] }],
  assignableScopes: ['/'],
};

/** An older version's pool, with a custom role whose wildcard held one action alone then. */
async function makeOlderPool(): Promise<Pool> {
  const pool = await makePool(db);
  const context = processOf(db, pool);
  await seedRoles(
    context,
    newChange(),
    OLDER,
    (permissions) => new Set(permissions.flatMap(({ dataActions }) => dataActions)),
  );
  const known = new Set(['Microsoft.KeyVault/managedHsm/keys/read/action'] as const);
  await createRoleStore(context).putDefinition(CUSTOM, known, () => undefined, newChange());
  return pool;
}

async function rolesOf(pool: Pool) {
  const { items } = await createRoleStore(processOf(db, pool)).listDefinitions({ limit: 100 });
  const permissions = await db
    .selectFrom('role_permission')
    .select(['role_id', 'action'])
    .where('pool_id', '=', pool.id)
    .execute();
  const actionsOf = (id: string) =>
    permissions.flatMap(({ role_id, action }) => (role_id === id ? [action] : [])).sort();
  return items.map((role) => ({ ...role, actions: actionsOf(role.id) }));
}

const withActions = (role: RoleDefinition) => ({
  ...role,
  actions: [...effectiveActions(role.permissions)].sort(),
});
const migrate = (databaseUrl: string) =>
  run(process.execPath, [MAIN, 'migrate'], {
    env: { PATH: process.env['PATH'], DATABASE_URL: databaseUrl },
  });
const recordsOf = async (pool: Pool) =>
  (await eventsOf(processOf(db, pool))).filter(
    ({ operation }) => operation === 'RoleDefinitionSeed',
  );

describe('strongroom migrate, as the owner of the tables', () => {
  let pools: Pool[];
  let printed: string;
  beforeAll(async () => {
    pools = [await makeOlderPool(), await makeOlderPool()];
    printed = (await migrate(database.ownerUrl)).stdout;
  });

  test("makes each pool's built-in roles those of this version, and custom wildcards hold what it knows", async () => {
    for (const pool of pools)
      expect(await rolesOf(pool)).toEqual([...builtIn, CUSTOM].map(withActions));
  });

  test('says of which pools it has done so, and records which roles', async () => {
    for (const pool of pools) {
      expect(printed).toContain(`"${pool.name}" has the built-in roles of this version`);
      const records = await recordsOf(pool);
      expect(records).toHaveLength(1);
      const changed = [first.id, builtIn.at(-1)?.id, CUSTOM.id];
      const { after } = records[0]?.change as { after: { roles: string[] } };
      expect(after.roles.toSorted()).toEqual(changed.toSorted());
    }
  });

  test('changes and records nothing where all is up to date', async () => {
    const { stdout } = await migrate(database.ownerUrl);
    expect(stdout).toBe('The schema is up to date.\n');
    for (const pool of pools) expect(await recordsOf(pool)).toHaveLength(1);
  });
});
