import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { grantControlRole } from '../../../src/compose/control-access.ts';
import { type ControlPlane, openControlPlane } from '../../support/control-plane.ts';
import { openStoreDatabase } from '../../support/store.ts';

const database = await openStoreDatabase();
let plane: ControlPlane;
let other: ControlPlane;
let subscription: string;
beforeAll(async () => {
  plane = await openControlPlane(database.db);
  other = await openControlPlane(database.db);
  subscription = `/subscriptions/${plane.subscriptionId}`;
  await plane.call('PUT', `${subscription}/resourceGroups/a`, { location: 'local' });
  await plane.call('PUT', `${subscription}/resourceGroups/b`, { location: 'local' });
  for (const [group, name] of [
    ['a', 'hsm-a'],
    ['b', 'hsm-b'],
  ] as const)
    await plane.settle(await plane.call('PUT', hsm(group, name), newHsm));
});
afterAll(async () => {
  await plane.close();
  await other.close();
  await database.close();
});

const ROLES = {
  Owner: '8e3af657-a8ff-443c-a75c-2fe8c4bcb635',
  Contributor: 'b24988ac-6180-42a0-ab88-20f7382dd24c',
  Reader: 'acdd72a7-3385-48ef-bd42-f606fba81ae7',
  'User Access Administrator': '18d7d88d-d35e-4fb5-a5c3-7773c20a72d9',
  'Managed HSM contributor': '18500a29-7fe2-46b2-a342-b16a415e101d',
};
type RoleName = keyof typeof ROLES;

const newHsm = {
  location: 'local',
  properties: { initialAdminObjectIds: [randomUUID()], enablePurgeProtection: false },
};
const hsm = (group: string, name: string) =>
  `${subscription}/resourceGroups/${group}/providers/Microsoft.KeyVault/managedHSMs/${name}`;
const assignmentPath = (scope: string, id: string = randomUUID()) =>
  `${scope}/providers/Microsoft.Authorization/roleAssignments/${id}`;
const bodyOf = (role: RoleName, principalId: string) => ({
  properties: {
    roleDefinitionId: `${subscription}/providers/Microsoft.Authorization/roleDefinitions/${ROLES[role]}`,
    principalId,
  },
});

/** Somebody who holds a role there. */
async function holder(role: RoleName, scope: string): Promise<string> {
  const principalId = randomUUID();
  await grantControlRole(plane.context, { principalId, role, scope });
  return principalId;
}

describe('roles of the control plane', () => {
  test.each([
    // role, group: read list write, HSM: read write delete, assignments: read write
    ['Owner', '200 200 200 202 201 200'],
    ['Contributor', '200 200 200 202 403 200'],
    ['Reader', '200 403 200 403 403 200'],
    ['User Access Administrator', '200 403 200 403 201 200'],
    ['Managed HSM contributor', '403 403 200 202 403 403'],
  ] as const)('let a %s do what they do in Azure', async (role, expected) => {
    const how = { as: await holder(role, `${subscription}/resourceGroups/a`) };
    const group = `${subscription}/resourceGroups/a`;
    const write = {
      ...newHsm,
      properties: { ...newHsm.properties, networkAcls: { ipRules: [{ value: '192.0.2.1' }] } },
    };
    const name = `x${randomUUID().slice(0, 8)}`;
    const statuses = [
      await plane.call('GET', group, undefined, how),
      await plane.call('PUT', group, { location: 'local' }, how),
      await plane.call('GET', hsm('a', 'hsm-a'), undefined, how),
      await plane.call('PUT', hsm('a', name), write, how),
      await plane.call('PUT', assignmentPath(group), bodyOf('Reader', randomUUID()), how),
      await plane.call(
        'GET',
        `${group}/providers/Microsoft.Authorization/roleAssignments`,
        undefined,
        how,
      ),
    ].map(({ status }) => status);
    expect(statuses.join(' ')).toBe(expected);
  });

  test('hold in their scope and below, and nowhere else', async () => {
    const how = { as: await holder('Contributor', `${subscription}/resourceGroups/a`) };
    const list = async (path: string) =>
      (await plane.call('GET', path, undefined, how)).json.value.map(({ name }) => name);
    expect(await list('/subscriptions')).toHaveLength(1);
    expect(await list(`${subscription}/resourceGroups`)).toEqual(['a']);
    const hsms = await list(`${subscription}/providers/Microsoft.KeyVault/managedHSMs`);
    expect(hsms).toContain('hsm-a');
    expect(hsms).not.toContain('hsm-b');
    for (const [method, path] of [
      ['GET', subscription],
      ['GET', `${subscription}/resourceGroups/b`],
      ['DELETE', `${subscription}/resourceGroups/b`],
      ['GET', hsm('b', 'hsm-b')],
      ['DELETE', hsm('b', 'hsm-b')],
    ] as const)
      expect((await plane.call(method, path, undefined, how)).json.error.code).toBe(
        'AuthorizationFailed',
      );
  });

  test('let whoever may delete one follow that, see it deleted and purge it', async () => {
    const created = hsm('a', 'short-lived');
    await plane.settle(await plane.call('PUT', created, newHsm));
    const how = { as: await holder('Managed HSM contributor', created) };
    const deleted = await plane.call('DELETE', created, undefined, how);
    expect(deleted.status).toBe(202);
    const location = deleted.headers.get('location') ?? '';
    const stranger = { as: randomUUID() };
    expect((await plane.call('GET', location, undefined, stranger)).status).toBe(403);
    await plane.settle(deleted);
    expect((await plane.call('GET', location, undefined, how)).status).toBe(200);
    const place = `${subscription}/providers/Microsoft.KeyVault/locations/local/deletedManagedHSMs/short-lived`;
    expect((await plane.call('GET', place, undefined, how)).status).toBe(200);
    expect((await plane.call('POST', `${place}/purge`, undefined, stranger)).status).toBe(403);
    expect((await plane.call('POST', `${place}/purge`, undefined, how)).status).toBe(202);
  });

  test('are listed by their names, as az looks for them', async () => {
    const filter = encodeURIComponent("roleName eq 'Managed HSM contributor'");
    const { json } = await plane.call(
      'GET',
      `${subscription}/providers/Microsoft.Authorization/roleDefinitions?$filter=${filter}`,
    );
    expect(json.value.map(({ name }) => name)).toEqual([ROLES['Managed HSM contributor']]);
  });
});

describe('whoever gives roles', () => {
  test.each<[RoleName, RoleName, 'self' | 'other', number]>([
    ['Owner', 'Owner', 'other', 201],
    ['User Access Administrator', 'Contributor', 'other', 201],
    ['User Access Administrator', 'Contributor', 'self', 403],
    ['User Access Administrator', 'Reader', 'self', 201],
    ['User Access Administrator', 'Owner', 'other', 403],
    ['User Access Administrator', 'User Access Administrator', 'other', 201],
    ['Contributor', 'Reader', 'other', 403],
  ])('as %s gives %s to %s: %i', async (held, given, to, status) => {
    const author = await holder(held, subscription);
    const body = bodyOf(given, to === 'self' ? author : randomUUID());
    const answer = await plane.call('PUT', assignmentPath(subscription), body, { as: author });
    expect(answer.status).toBe(status);
  });

  test('takes the right to give from nobody who holds more, but from itself', async () => {
    const author = await holder('User Access Administrator', subscription);
    const path = assignmentPath(subscription);
    await plane.call('PUT', path, bodyOf('Owner', randomUUID()));
    expect((await plane.call('DELETE', path, undefined, { as: author })).status).toBe(403);
    expect((await plane.call('DELETE', path)).status).toBe(200);
    expect((await plane.call('DELETE', path)).status).toBe(204);
  });

  test('gives one role once', async () => {
    const body = bodyOf('Reader', randomUUID());
    expect((await plane.call('PUT', assignmentPath(subscription), body)).status).toBe(201);
    const again = await plane.call('PUT', assignmentPath(subscription), body);
    expect([again.status, again.json.error.code]).toEqual([409, 'RoleAssignmentExists']);
  });
});

test('an assignment is found at its scope, and in lists at and below it', async () => {
  const principalId = randomUUID();
  const path = assignmentPath(hsm('a', 'hsm-a'));
  await plane.call('PUT', path, bodyOf('Reader', principalId));
  expect((await plane.call('GET', path)).json.properties).toMatchObject({
    principalId,
    scope: hsm('a', 'hsm-a'),
  });
  const list = async (scope: string, filter: string) =>
    (
      await plane.call(
        'GET',
        `${scope}/providers/Microsoft.Authorization/roleAssignments?$filter=${encodeURIComponent(filter)}`,
      )
    ).json.value.length;
  expect(await list(subscription, `principalId eq '${principalId}'`)).toBe(1);
  expect(await list(subscription, `atScope() and assignedTo('${principalId}')`)).toBe(0);
  expect(await list(hsm('a', 'hsm-a'), `atScope() and assignedTo('${principalId}')`)).toBe(1);
  expect(await list(hsm('b', 'hsm-b'), `principalId eq '${principalId}'`)).toBe(0);
});

test('an owner of one tenant has nothing in another', async () => {
  const how = { as: plane.owner };
  expect((await other.call('GET', '/subscriptions', undefined, how)).json.value).toEqual([]);
  const theirs = `/subscriptions/${other.subscriptionId}`;
  expect((await other.call('GET', theirs, undefined, how)).status).toBe(403);
  // Even to its own owner, the other tenant's is no subscription here.
  expect((await plane.call('GET', theirs)).json.error.code).toBe('SubscriptionNotFound');
  expect((await other.call('GET', hsm('a', 'hsm-a'))).json.error.code).toBe('ResourceNotFound');
});

test('an owner holds nothing in the data plane', async () => {
  for (const path of ['/keys', '/settings', '/providers/Microsoft.Authorization/roleDefinitions'])
    expect((await plane.call('GET', path, undefined, { version: '7.4' })).json.error.code).toBe(
      'AccessDenied',
    );
});
