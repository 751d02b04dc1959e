import { randomUUID } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import type {
  Application,
  ServicePrincipal,
  DirectoryCondition,
  DirectoryFilter,
  DirectoryProperty,
} from '../../../src/core/directory/directory.ts';
import type { DirectoryStore } from '../../../src/core/directory/ports.ts';
import { createDirectoryStore } from '../../../src/store/directory/directory-store.ts';
import { createRoleStore } from '../../../src/store/access/role-store.ts';
import { makePool, newChange, openStoreDatabase, processOf } from '../../support/store.ts';

const database = await openStoreDatabase();
const { db } = database;
afterAll(() => database.close());

const page = { limit: 100 };
let context: ReturnType<typeof processOf>;
let directory: DirectoryStore;
beforeEach(async () => {
  context = processOf(db, await makePool(db));
  directory = createDirectoryStore(context);
});

async function addApplication(displayName = 'client'): Promise<Application> {
  const application = {
    id: randomUUID(),
    appId: randomUUID(),
    displayName,
    createdAt: new Date('2026-05-01T12:00:00.123Z'),
  };
  await directory.insertApplication(application, newChange());
  return application;
}

async function addPrincipal({ appId, displayName }: Application): Promise<ServicePrincipal> {
  const principal = { id: randomUUID(), appId, displayName, enabled: true };
  await directory.insertServicePrincipal(principal, newChange());
  return principal;
}

const is = (property: DirectoryProperty, value: string): DirectoryCondition => ({
  property,
  operator: 'eq',
  value,
});
const begins = (value: string): DirectoryCondition => ({
  property: 'displayName',
  operator: 'startsWith',
  value,
});

function password(startsAt: string, displayName?: string) {
  return {
    keyId: randomUUID(),
    ...(displayName !== undefined && { displayName }),
    hint: 'abc',
    hash: '$scrypt$of a secret',
    startsAt: new Date(startsAt),
    endsAt: new Date('2030-01-01T00:00:00Z'),
  };
}

describe('an application', () => {
  test('is found by either of its ids, and by no other id', async () => {
    const made = await addApplication();
    const { id, appId } = made;
    await expect(directory.findApplication({ id })).resolves.toEqual(made);
    await expect(directory.findApplication({ appId })).resolves.toEqual(made);
    for (const by of [
      { id: appId },
      { appId: id },
      { id: '-'.repeat(36) },
      { appId: "' or true --" },
    ])
      await expect(directory.findApplication(by)).resolves.toBeUndefined();
  });

  test('is listed by client id, by name in any case, or by how its name begins', async () => {
    const [one, other] = [await addApplication('one'), await addApplication('One')];
    const list = async (filter: DirectoryFilter) =>
      (await directory.listApplications(filter, page)).items;
    expect(await list([is('appId', one.appId)])).toEqual([one]);
    expect(await list([is('displayName', 'One')])).toEqual(expect.arrayContaining([one, other]));
    expect(await list([is('displayName', 'on%')])).toEqual([]);
    expect(await list([begins('oN')])).toHaveLength(2);
    expect(await list([begins('oN'), is('displayName', 'One')])).toHaveLength(2);
    expect(await list([begins('oN'), is('displayName', 'on')])).toEqual([]);
    expect(await list([begins('o_')])).toEqual([]);
    expect(await list([is('appId', 'no GUID')])).toEqual([]);
    expect(await list([is('appId', one.appId.toUpperCase())])).toEqual([one]);
    expect(await list([is('appId', one.appId), is('id', other.id)])).toEqual([]);
    expect(await list([is('identifierUris', 'api://one')])).toEqual([]);
    expect(await list([])).toHaveLength(2);
  });

  test('that is deleted takes its passwords, its service principal and that one’s roles along', async () => {
    const made = await addApplication();
    const principal = await addPrincipal(made);
    const roles = createRoleStore(context);
    for (const scope of ['/keys', '/keys/one'] as const)
      await roles.putAssignment(
        { id: randomUUID(), principalId: principal.id, roleDefinitionId: randomUUID(), scope },
        1_700_000_000,
        newChange(),
      );
    await directory.insertPassword(made.id, password('2026-01-01T00:00:00Z'), newChange());
    await expect(directory.deleteApplication(made.id, newChange())).resolves.toBe(true);
    await expect(directory.findApplication({ id: made.id })).resolves.toBeUndefined();
    await expect(directory.findServicePrincipal({ id: principal.id })).resolves.toBeUndefined();
    await expect(directory.listPasswords(made.id)).resolves.toEqual([]);
    expect((await roles.policyOf([principal.id])).assignments).toEqual([]);
    await expect(directory.deleteApplication(made.id, newChange())).resolves.toBe(false);
  });
});

describe('passwords', () => {
  test('come back oldest first, with or without a name, to the millisecond', async () => {
    const { id } = await addApplication();
    const [later, earlier] = [
      password('2026-05-02T00:00:00.001Z', 'later'),
      password('2026-05-02T00:00:00Z'),
    ];
    for (const one of [later, earlier]) await directory.insertPassword(id, one, newChange());
    await expect(directory.listPasswords(id)).resolves.toEqual([earlier, later]);
  });

  test('go one by one, and only with their own application', async () => {
    const [{ id }, other] = [await addApplication(), await addApplication()];
    const [kept, gone] = [password('2026-01-01T00:00:00Z'), password('2026-01-02T00:00:00Z')];
    for (const one of [kept, gone]) await directory.insertPassword(id, one, newChange());
    await expect(directory.deletePassword(other.id, gone.keyId, newChange())).resolves.toBe(false);
    await expect(directory.deletePassword(id, gone.keyId, newChange())).resolves.toBe(true);
    await expect(directory.deletePassword(id, gone.keyId, newChange())).resolves.toBe(false);
    await expect(directory.listPasswords(id)).resolves.toEqual([kept]);
  });
});

describe('a service principal', () => {
  test('is found by either of its ids and listed by client id or name', async () => {
    const made = await addPrincipal(await addApplication());
    const { id, appId } = made;
    await expect(directory.findServicePrincipal({ id })).resolves.toEqual(made);
    await expect(directory.findServicePrincipal({ appId })).resolves.toEqual(made);
    await expect(directory.findServicePrincipal({ id: 'no GUID' })).resolves.toBeUndefined();
    for (const filter of [
      [is('appId', appId)],
      [is('displayName', 'client')],
      [is('displayName', 'Client')],
      [],
    ])
      expect((await directory.listServicePrincipals(filter, page)).items).toEqual([made]);
    for (const filter of [is('appId', id), is('displayName', 'Clien'), is('appId', 'no GUID')])
      expect((await directory.listServicePrincipals([filter], page)).items).toEqual([]);
  });

  test('is the only one of its application, even when two are made at once', async () => {
    const application = await addApplication();
    const attempts = await Promise.allSettled([1, 2, 3].map(() => addPrincipal(application)));
    const outcomes = attempts.map((attempt) =>
      attempt.status === 'fulfilled' ? 'made' : (attempt.reason as { code: string }).code,
    );
    expect(outcomes.sort()).toEqual(['DirectoryObjectExists', 'DirectoryObjectExists', 'made']);
  });

  test('that is deleted takes its roles along, and leaves its application and others’ roles', async () => {
    const application = await addApplication();
    const principal = await addPrincipal(application);
    const roles = createRoleStore(context);
    const roleDefinitionId = randomUUID();
    for (const principalId of [principal.id, 'alice'])
      await roles.putAssignment(
        { id: randomUUID(), principalId, roleDefinitionId, scope: '/keys' },
        1_700_000_000,
        newChange(),
      );
    await expect(directory.deleteServicePrincipal(principal.id, newChange())).resolves.toBe(true);
    await expect(directory.deleteServicePrincipal(principal.id, newChange())).resolves.toBe(false);
    expect((await roles.policyOf([principal.id, 'alice'])).assignments).toMatchObject([
      { principalId: 'alice' },
    ]);
    await expect(directory.findApplication({ id: application.id })).resolves.toBeDefined();
  });
});

test('one pool’s directory is not another’s', async () => {
  const application = await addApplication();
  const principal = await addPrincipal(application);
  const one = password('2026-01-01T00:00:00Z');
  await directory.insertPassword(application.id, one, newChange());
  const elsewhere = createDirectoryStore(processOf(db, await makePool(db)));
  expect([
    await elsewhere.findApplication({ id: application.id }),
    await elsewhere.findApplication({ appId: application.appId }),
    await elsewhere.findServicePrincipal({ appId: application.appId }),
    (await elsewhere.listApplications([], page)).items,
    (await elsewhere.listServicePrincipals([], page)).items,
    await elsewhere.listPasswords(application.id),
    await elsewhere.deletePassword(application.id, one.keyId, newChange()),
    await elsewhere.deleteServicePrincipal(principal.id, newChange()),
    await elsewhere.deleteApplication(application.id, newChange()),
  ]).toEqual([undefined, undefined, undefined, [], [], [], false, false, false]);
  await expect(directory.listPasswords(application.id)).resolves.toEqual([one]);
});
