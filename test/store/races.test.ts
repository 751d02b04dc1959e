import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { parseKeyName } from '../../src/core/key.ts';
import { packBytes } from '../../src/core/packed-bytes.ts';
import { ADMINISTRATOR_ROLE, type RoleAssignment } from '../../src/core/role.ts';
import { createDirectoryStore } from '../../src/store/directory-store.ts';
import { createKeyReader } from '../../src/store/key-reader.ts';
import { createKeyWriter } from '../../src/store/key-writer.ts';
import { createRoleStore } from '../../src/store/role-store.ts';
import {
  type Db,
  eventsOf,
  makePool,
  newChange,
  newVersion,
  openStoreDatabase,
  processOf,
  versionOf,
} from '../support/store.ts';

const database = await openStoreDatabase();
afterAll(() => database.close());

const name = parseKeyName('contested');
const open = (db: Db, pool: { id: string }) => {
  const context = processOf(db, pool);
  return {
    context,
    keys: { ...createKeyReader(context), ...createKeyWriter(context) },
    roles: createRoleStore(context),
    directory: createDirectoryStore(context),
  };
};
let poolId: string;
let one: ReturnType<typeof open>;
let other: ReturnType<typeof open>;
beforeEach(async () => {
  const pool = await makePool(database.db);
  poolId = pool.id;
  one = open(database.db, pool);
  other = open(database.otherDb, pool);
});

/** The codes of those that failed; `done` for the others. */
async function outcomes(attempts: readonly Promise<unknown>[]): Promise<string[]> {
  const settled = await Promise.allSettled(attempts);
  return settled
    .map((attempt) =>
      attempt.status === 'fulfilled' ? 'done' : (attempt.reason as { code: string }).code,
    )
    .sort();
}

describe('two processes', () => {
  test('that make one key at the same time make two versions of it, and the later one answers', async () => {
    for (let round = 0; round < 10; round += 1) {
      const contested = parseKeyName(`contested-${round}`);
      const versions = Array.from({ length: 8 }, () => newVersion(poolId, contested));
      await Promise.all(
        versions.map((version, index) =>
          (index % 2 === 0 ? one : other).keys.insertVersion(version, newChange()),
        ),
      );
      const { items } = await one.keys.listVersions(contested, { limit: 100 });
      expect(items.map(versionOf).sort()).toEqual(versions.map(versionOf).sort());
      const answering = await other.keys.findKey(contested);
      expect(answering?.material).toEqual(items.at(-1)?.material);
    }
  });

  test('that update one version lose neither change', async () => {
    await one.keys.insertVersion(newVersion(poolId, name), newChange());
    await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        (index % 2 === 0 ? one : other).keys.updateVersion(
          name,
          undefined,
          { apply: (current) => ({ ...current, tags: { ...current.tags, [index]: '' } }) },
          newChange(),
        ),
      ),
    );
    expect(Object.keys((await one.keys.findKey(name))?.tags ?? {})).toHaveLength(12);
  });

  test('that reseal one version lose neither change, whoever is quicker', async () => {
    await one.keys.insertVersion(newVersion(poolId, name), newChange());
    let rounds = 0;
    await Promise.all(
      Array.from({ length: 6 }, (_, index) =>
        (index % 2 === 0 ? one : other).keys.updateVersion(
          name,
          undefined,
          {
            reseal: (material) => {
              rounds += 1;
              const { identity, sealed } = material;
              return Promise.resolve({
                ...material,
                identity: { ...identity, operations: [...identity.operations, 'sign'] },
                sealed: { ...sealed, seal: packBytes(randomBytes(32)) },
              });
            },
            apply: (current, material) => ({ ...current, material }),
          },
          newChange(),
        ),
      ),
    );
    const found = await one.keys.findKey(name);
    const { operations } = newVersion(poolId, name).material.identity;
    expect(found?.material.identity.operations).toHaveLength(operations.length + 6);
    expect(rounds).toBeGreaterThan(6);
  });

  test('that disable and enable versions agree on the one that answers', async () => {
    const versions = Array.from({ length: 4 }, () => newVersion(poolId, name));
    for (const version of versions) await one.keys.insertVersion(version, newChange());
    await Promise.all(
      Array.from({ length: 24 }, (_, index) =>
        (index % 2 === 0 ? one : other).keys.updateVersion(
          name,
          versions[index % 4]?.material.identity.version,
          {
            apply: (current) => ({
              ...current,
              attributes: { ...current.attributes, enabled: Math.random() < 0.5 },
            }),
          },
          newChange(),
        ),
      ),
    );
    const { items } = await one.keys.listVersions(name, { limit: 10 });
    const expected = items.findLast(({ attributes }) => attributes.enabled) ?? items.at(-1);
    expect((await one.keys.findKey(name))?.material).toEqual(expected?.material);
  });

  test('that delete one key delete it once', async () => {
    await one.keys.insertVersion(newVersion(poolId, name), newChange());
    const deleted = await Promise.all(
      [one, other, one, other].map(({ keys }) =>
        keys.deleteKey(name, { deletedAt: 1, purgeAt: 2 }, newChange('Delete')),
      ),
    );
    expect(deleted.filter((result) => result !== undefined)).toHaveLength(1);
    const events = await eventsOf(one.context);
    expect(events.filter(({ operation }) => operation === 'Delete')).toHaveLength(1);
  });

  test('that recover and purge one key do one of the two, wholly', async () => {
    for (let round = 0; round < 10; round += 1) {
      const contested = parseKeyName(`contested-${round}`);
      await one.keys.insertVersion(newVersion(poolId, contested), newChange());
      await one.keys.deleteKey(contested, { deletedAt: 1, purgeAt: 2 }, newChange());
      const [recovered, purged] = await Promise.all([
        one.keys.recoverKey(contested, newChange()),
        other.keys.purgeKey(contested, newChange()),
      ]);
      expect(recovered !== undefined).toBe(!purged);
      expect((await one.keys.findKey(contested)) !== undefined).toBe(!purged);
    }
  });

  test('that add a version and delete the key leave no version behind that is not deleted', async () => {
    for (let round = 0; round < 10; round += 1) {
      const contested = parseKeyName(`contested-${round}`);
      await one.keys.insertVersion(newVersion(poolId, contested), newChange());
      const [added] = await Promise.all([
        outcomes([one.keys.insertVersion(newVersion(poolId, contested), newChange())]),
        other.keys.deleteKey(contested, { deletedAt: 1, purgeAt: 2 }, newChange()),
      ]);
      expect(['done', 'KeyIsDeleted']).toContain(added[0]);
      expect(await one.keys.findKey(contested)).toBeUndefined();
      await expect(one.keys.findDeletedKey(contested)).resolves.toBeDefined();
    }
  });
});

describe('the last administrator', () => {
  const administrator = (principalId: string): RoleAssignment => ({
    id: randomUUID(),
    principalId,
    roleDefinitionId: ADMINISTRATOR_ROLE,
    scope: '/',
  });

  async function makeApplication() {
    const [application, principal] = [
      {
        id: randomUUID(),
        appId: randomUUID(),
        displayName: 'administrator',
        createdAt: new Date(),
      },
      randomUUID(),
    ];
    await one.directory.insertApplication(application, newChange());
    await one.directory.insertServicePrincipal(
      { id: principal, appId: application.appId, displayName: 'administrator', enabled: true },
      newChange(),
    );
    await one.roles.putAssignment(administrator(principal), 1_700_000_000, newChange());
    return { application: application.id, principal };
  }

  test.each([2, 3, 5])(
    'is left by %i administrators who are removed at the same time',
    async (count) => {
      for (let round = 0; round < 8; round += 1) {
        const assignments = Array.from({ length: count }, (_, index) =>
          administrator(`${round}-${index}`),
        );
        for (const assignment of assignments)
          await one.roles.putAssignment(assignment, 1_700_000_000, newChange());
        const results = await outcomes(
          assignments.map(({ id }, index) =>
            (index % 2 === 0 ? one : other).roles.deleteAssignment(id, '/', newChange()),
          ),
        );
        // From the second round on, the administrator that the round before left is there too.
        expect(results.filter((result) => result === 'done').length).toBeGreaterThanOrEqual(
          count - 1,
        );
        const { items } = await one.roles.listAssignments(
          { scope: '/', above: false, below: false },
          { limit: 100 },
        );
        expect(items.length).toBeGreaterThanOrEqual(1);
        for (const { id } of items.slice(1)) await one.roles.deleteAssignment(id, '/', newChange());
      }
    },
  );

  test('is left by an application, a service principal and an assignment that go at the same time', async () => {
    for (let round = 0; round < 8; round += 1) {
      const [first, second] = [await makeApplication(), await makeApplication()];
      const third = administrator('carol');
      await one.roles.putAssignment(third, 1_700_000_000, newChange());
      const results = await outcomes([
        one.directory.deleteApplication(first.application, newChange()),
        other.directory.deleteServicePrincipal(second.principal, newChange()),
        other.roles.deleteAssignment(third.id, '/', newChange()),
      ]);
      const { items } = await one.roles.listAssignments(
        { scope: '/', above: false, below: false },
        { limit: 100 },
      );
      expect(items).toHaveLength(1);
      expect(results).toEqual(['LastAdministrator', 'done', 'done']);
      // The next round begins with none, which no store would do.
      await database.db.deleteFrom('role_assignment').where('pool_id', '=', poolId).execute();
    }
  });

  test.each(['application', 'service principal'])(
    'keeps its %s, with all that belongs to it',
    async (kind) => {
      const { application, principal } = await makeApplication();
      const before = await eventsOf(one.context);
      const attempt =
        kind === 'application'
          ? one.directory.deleteApplication(application, newChange())
          : one.directory.deleteServicePrincipal(principal, newChange());
      await expect(attempt).rejects.toMatchObject({ code: 'LastAdministrator' });
      await expect(one.directory.findApplication({ id: application })).resolves.toBeDefined();
      await expect(one.directory.findServicePrincipal({ id: principal })).resolves.toBeDefined();
      expect(await eventsOf(one.context)).toEqual(before);
    },
  );

  test('of one pool is not made up for by those of another', async () => {
    const elsewhere = open(database.db, await makePool(database.db));
    await elsewhere.roles.putAssignment(administrator('zoe'), 1_700_000_000, newChange());
    const last = administrator('alice');
    await one.roles.putAssignment(last, 1_700_000_000, newChange());
    await expect(one.roles.deleteAssignment(last.id, '/', newChange())).rejects.toMatchObject({
      code: 'LastAdministrator',
    });
  });

  test.each([
    ['Administrator at /keys', ADMINISTRATOR_ROLE, '/keys'],
    ['another role at /', '515eb02d-2335-4d2d-92f2-b1cbdf9c3778', '/'],
  ] as const)('is not who holds %s', async (_, roleDefinitionId, scope) => {
    const last = administrator('alice');
    await one.roles.putAssignment(last, 1_700_000_000, newChange());
    const lesser = { ...administrator('bob'), roleDefinitionId, scope };
    await one.roles.putAssignment(lesser, 1_700_000_000, newChange());
    await expect(one.roles.deleteAssignment(last.id, '/', newChange())).rejects.toMatchObject({
      code: 'LastAdministrator',
    });
    await expect(one.roles.deleteAssignment(lesser.id, scope, newChange())).resolves.toMatchObject({
      id: lesser.id,
    });
  });
});
