import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { parseKeyName } from '../../../src/core/keys/key.ts';
import { packBytes } from '../../../src/core/keys/packed-bytes.ts';
import { ADMINISTRATOR_ROLE, type RoleAssignment } from '../../../src/core/access/role.ts';
import { createCredentialStore } from '../../../src/store/directory/credential-store.ts';
import { createDirectoryStore } from '../../../src/store/directory/directory-store.ts';
import { createKeyReader } from '../../../src/store/keys/key-reader.ts';
import { createKeyWriter } from '../../../src/store/keys/key-writer.ts';
import { createUsersAndGroupsStore } from '../../../src/store/directory/users-and-groups-store.ts';
import { createRoleStore } from '../../../src/store/access/role-store.ts';
import { isFullExtent } from '../../support/extent.ts';
import {
  asItIs,
  type Db,
  eventsOf,
  makePool,
  newChange,
  newVersion,
  openStoreDatabase,
  processOf,
  versionOf,
  withClient,
} from '../../support/store.ts';
import { ROLE } from '../../support/roles.ts';

const database = await openStoreDatabase();
afterAll(() => database.close());

const name = parseKeyName('contested');
/** Of a race that either may win. */
const ROUNDS = isFullExtent ? 8 : 3;
const TRUSTED = 'https://trusted.example';
const open = (db: Db, pool: { id: string }) => {
  const context = { ...processOf(db, pool), trustedIssuers: [TRUSTED] };
  return {
    context,
    keys: { ...createKeyReader(context), ...createKeyWriter(context) },
    roles: createRoleStore(context),
    directory: createDirectoryStore(context),
    usersAndGroups: createUsersAndGroupsStore(context),
    credentials: createCredentialStore(context),
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
          {
            reseal: asItIs,
            apply: (current) => ({ ...current, tags: { ...current.tags, [index]: '' } }),
          },
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
            reseal: asItIs,
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
      [one, other, one, other].map(({ keys }) => keys.deleteKey(name, 1, newChange('Delete'))),
    );
    expect(deleted.filter((result) => result !== undefined)).toHaveLength(1);
    const events = await eventsOf(one.context);
    expect(events.filter(({ operation }) => operation === 'Delete')).toHaveLength(1);
  });

  test('that recover and purge one key do one of the two, wholly', async () => {
    for (let round = 0; round < 10; round += 1) {
      const contested = parseKeyName(`contested-${round}`);
      await one.keys.insertVersion(newVersion(poolId, contested), newChange());
      await one.keys.deleteKey(contested, 1, newChange());
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
        other.keys.deleteKey(contested, 1, newChange()),
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
    const password = {
      keyId: randomUUID(),
      hint: 'abc',
      hash: 'a hash',
      startsAt: new Date(Date.now() - 1_000),
      endsAt: new Date(Date.now() + 1_000_000_000),
    };
    await one.directory.insertPassword(application.id, password, newChange());
    const assignment = administrator(principal);
    await one.roles.putAssignment(assignment, 1_700_000_000, newChange());
    return { application: application.id, principal, password: password.keyId, assignment };
  }

  test.each([2, 3, 5])(
    'is left by %i administrators who are removed at the same time',
    async (count) => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const assignments: RoleAssignment[] = [];
        for (let index = 0; index < count; index += 1)
          assignments.push((await makeApplication()).assignment);
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
    for (let round = 0; round < ROUNDS; round += 1) {
      const [first, second] = [await makeApplication(), await makeApplication()];
      const { assignment: third } = await makeApplication();
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
    const { assignment: last } = await makeApplication();
    await expect(one.roles.deleteAssignment(last.id, '/', newChange())).rejects.toMatchObject({
      code: 'LastAdministrator',
    });
  });

  test.each([
    ['Administrator at /keys', ADMINISTRATOR_ROLE, '/keys'],
    ['another role at /', ROLE.officer, '/'],
  ] as const)('is not who holds %s', async (_, roleDefinitionId, scope) => {
    const { assignment: last } = await makeApplication();
    const lesser = { ...administrator('bob'), roleDefinitionId, scope };
    await one.roles.putAssignment(lesser, 1_700_000_000, newChange());
    await expect(one.roles.deleteAssignment(last.id, '/', newChange())).rejects.toMatchObject({
      code: 'LastAdministrator',
    });
    await expect(one.roles.deleteAssignment(lesser.id, scope, newChange())).resolves.toMatchObject({
      id: lesser.id,
    });
  });

  /** What makes one able to sign in, or unable to. */
  const sql = (statement: string, ...values: unknown[]) =>
    withClient(database.ownerUrl, (client) => client.query(statement, values));
  async function makeGroup(...members: readonly string[]): Promise<string> {
    const id = randomUUID();
    await one.usersAndGroups.insertGroup({ id, displayName: 'administrators' }, newChange());
    for (const member of members) await one.usersAndGroups.insertMember(id, member, newChange());
    return id;
  }
  const assign = async (principalId: string, more: Partial<RoleAssignment> = {}) => {
    const assignment = { ...administrator(principalId), ...more };
    await one.roles.putAssignment(assignment, 1_700_000_000, newChange());
    return assignment;
  };
  const makeUser = async (issuer: string, enabled = true) => {
    const id = randomUUID();
    const identities = [{ issuer, subject: id }];
    await one.usersAndGroups.insertUser(
      { id, displayName: 'user', userPrincipalName: `${id}@example.org`, enabled, identities },
      newChange(),
    );
    return id;
  };

  const makeFederated = async (application: string) => {
    const id = randomUUID();
    const federated = { id, issuer: TRUSTED, subject: 's', audience: 'a', name: 'n' };
    await one.credentials.insertFederated(application, federated, newChange());
    return id;
  };

  /** Who holds Administrator besides the one who is to go, and whether that one may go then. */
  const others: Readonly<Record<string, readonly [boolean, () => Promise<unknown>]>> = {
    'nobody but a made-up id': [false, () => assign(randomUUID())],
    'an application without a credential': [
      false,
      async () => {
        const { application, password } = await makeApplication();
        await one.directory.deletePassword(application, password, newChange());
      },
    ],
    'an application whose secret has ended': [
      false,
      async () => {
        const { application } = await makeApplication();
        await sql(
          `update application_password set ends_at = now() where application_id = $1`,
          application,
        );
      },
    ],
    'a service principal that is disabled': [
      false,
      async () => {
        const { principal } = await makeApplication();
        await one.usersAndGroups.updateServicePrincipal(principal, { enabled: false }, newChange());
      },
    ],
    'an assignment that ends in a year': [
      false,
      async () => {
        const { assignment, principal } = await makeApplication();
        await one.roles.deleteAssignment(assignment.id, '/', newChange());
        await assign(principal, { expiresOn: Math.floor(Date.now() / 1000) + 31_536_000 });
      },
    ],
    'a group without members': [false, async () => assign(await makeGroup())],
    'a group that holds only itself': [
      false,
      async () => {
        const group = await makeGroup();
        await one.usersAndGroups.insertMember(group, group, newChange());
        await assign(group);
      },
    ],
    'a user of an issuer that nobody trusts': [
      false,
      async () => assign(await makeUser('https://elsewhere.example')),
    ],
    'a user who is disabled': [false, async () => assign(await makeUser(TRUSTED, false))],
    'a user of an issuer that is trusted': [true, async () => assign(await makeUser(TRUSTED))],
    'another application with a secret': [true, () => makeApplication()],
    'a group in a group with a member who can sign in': [
      true,
      async () => {
        const { assignment, principal } = await makeApplication();
        await one.roles.deleteAssignment(assignment.id, '/', newChange());
        await assign(await makeGroup(await makeGroup(principal)));
      },
    ],
    'an application with a federated credential that nobody has used': [
      false,
      async () => {
        const { application, assignment, password } = await makeApplication();
        await makeFederated(application);
        // As somebody who leaves it to others to be the last one.
        await one.roles.deleteAssignment(assignment.id, '/', newChange());
        await one.directory.deletePassword(application, password, newChange());
        await assign(assignment.principalId);
      },
    ],
    'an application with a federated credential that it has signed in with': [
      true,
      async () => {
        const { application, password } = await makeApplication();
        const id = await makeFederated(application);
        await other.credentials.noteFederatedUse(application, id);
        await other.credentials.noteFederatedUse(application, id);
        await one.directory.deletePassword(application, password, newChange());
      },
    ],
  };

  type Last = Awaited<ReturnType<typeof makeApplication>>;
  /** Each way in which the one may go. */
  const departures: Readonly<Record<string, (last: Last) => Promise<unknown>>> = {
    assignment: ({ assignment }) => other.roles.deleteAssignment(assignment.id, '/', newChange()),
    application: ({ application }) => other.directory.deleteApplication(application, newChange()),
    'service principal': ({ principal }) =>
      other.directory.deleteServicePrincipal(principal, newChange()),
    'last secret': ({ application, password }) =>
      other.directory.deletePassword(application, password, newChange()),
    'being enabled': ({ principal }) =>
      other.usersAndGroups.updateServicePrincipal(principal, { enabled: false }, newChange()),
    'assignment without an end': ({ assignment }) =>
      other.roles.putAssignment(
        { ...assignment, expiresOn: Math.floor(Date.now() / 1000) + 3_600 },
        1_700_000_000,
        newChange(),
      ),
  };

  test.each(Object.entries(others))(
    'is the one who can sign in where there is besides %s',
    async (_, [mayGo, prepare]) => {
      for (const [what, depart] of Object.entries(departures)) {
        const last = await makeApplication();
        await prepare();
        expect([what, await outcomes([depart(last)])]).toEqual([
          what,
          [mayGo ? 'done' : 'LastAdministrator'],
        ]);
        await database.db.deleteFrom('role_assignment').where('pool_id', '=', poolId).execute();
      }
    },
  );

  test('that is a group keeps its member, its group and the ways in of that member', async () => {
    const { assignment, principal, application, password } = await makeApplication();
    const inner = await makeGroup(principal);
    const outer = await makeGroup(inner);
    await assign(outer);
    await one.roles.deleteAssignment(assignment.id, '/', newChange());
    expect(
      await outcomes([
        one.usersAndGroups.deleteMember(inner, principal, newChange()),
        one.usersAndGroups.deleteMember(outer, inner, newChange()),
        one.usersAndGroups.deleteGroup(inner, newChange()),
        one.usersAndGroups.deleteGroup(outer, newChange()),
        one.directory.deletePassword(application, password, newChange()),
        one.directory.deleteApplication(application, newChange()),
        one.credentials.updateApplication(application, { certificates: [] }, newChange()),
      ]),
    ).toEqual([...Array.from({ length: 6 }, () => 'LastAdministrator'), 'done']);
  });

  test('keeps its secret beside a federated credential until it has signed in with that', async () => {
    const { application, password } = await makeApplication();
    const id = await makeFederated(application);
    const removeSecret = () => one.directory.deletePassword(application, password, newChange());
    expect(await outcomes([removeSecret()])).toEqual(['LastAdministrator']);
    await one.credentials.noteFederatedUse(application, id);
    expect(await outcomes([removeSecret()])).toEqual(['done']);
    expect(await outcomes([one.credentials.deleteFederated(application, id, newChange())])).toEqual(
      ['LastAdministrator'],
    );
  });

  test('renews its secret: the new one first, then without the old one', async () => {
    const { application, password } = await makeApplication();
    const add = (seconds: number) => {
      const keyId = randomUUID();
      const [startsAt, endsAt] = [new Date(), new Date(Date.now() + seconds * 1_000)];
      const secret = { keyId, hint: 'abc', hash: 'a hash', startsAt, endsAt };
      return one.directory.insertPassword(application, secret, newChange());
    };
    const removeOld = () => one.directory.deletePassword(application, password, newChange());
    expect(await outcomes([removeOld()])).toEqual(['LastAdministrator']);
    // One that is about to end doesn't take its place.
    await add(60);
    expect(await outcomes([removeOld()])).toEqual(['LastAdministrator']);
    await add(86_400 * 30);
    expect(await outcomes([removeOld()])).toEqual(['done']);
  });

  test('may be of another issuer, where it makes the change itself: it has just signed in', async () => {
    const { assignment } = await makeApplication();
    const [me, mine] = [randomUUID(), randomUUID()];
    await assign(mine);
    const change = newChange();
    const by = { ...change.author, ids: [me, mine] };
    const remove = (author: typeof change.author) =>
      one.roles.deleteAssignment(assignment.id, '/', Object.assign(newChange(), { author }));
    expect(await outcomes([remove({ ...by, ids: [me] })])).toEqual(['LastAdministrator']);
    expect(await outcomes([remove(by)])).toEqual(['done']);
  });
});
