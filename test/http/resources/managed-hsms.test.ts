import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ServiceError } from '../../../src/core/errors.ts';
import { type ControlPlane, openControlPlane } from '../../support/control-plane.ts';
import { eventsOf, openStoreDatabase } from '../../support/store.ts';

const database = await openStoreDatabase();
let plane: ControlPlane;
let group: string;
beforeAll(async () => {
  plane = await openControlPlane(database.db);
  group = `/subscriptions/${plane.subscriptionId}/resourceGroups/Keys`;
  await plane.call('PUT', group, { location: 'West US' });
});
afterAll(async () => {
  await plane.close();
  await database.close();
});

const PROVIDER = 'providers/Microsoft.KeyVault';
const administrators = [randomUUID()];
const newHsm = (properties: object = {}) => ({
  location: 'westus',
  sku: { family: 'B', name: 'Standard_B1' },
  properties: { initialAdminObjectIds: administrators, ...properties },
});
const hsm = (name: string) => `${group}/${PROVIDER}/managedHSMs/${name}`;
const deletedHsm = (name: string) =>
  `/subscriptions/${plane.subscriptionId}/${PROVIDER}/locations/westus/deletedManagedHSMs/${name}`;
const make = async (name: string, properties: object = {}) =>
  plane.settle(await plane.call('PUT', hsm(name), newHsm(properties)));

describe('a Managed HSM', () => {
  test('is made by an operation that its client polls', async () => {
    const release = plane.provisioner.hold();
    const begun = await plane.call('PUT', hsm('Payroll-1'), newHsm({ createMode: 'default' }));
    expect([begun.status, begun.json.properties]).toEqual([
      202,
      expect.objectContaining({ provisioningState: 'Provisioning', hsmUri: null }),
    ]);
    expect(begun.headers.get('retry-after')).toBe('1');
    const location = begun.headers.get('location') ?? '';
    expect(location).toMatch(
      /\/managedHsmOperationResults\/[0-9a-f-]{36}\?api-version=2026-05-15$/,
    );
    const underWay = await plane.call('GET', location);
    expect([underWay.status, underWay.headers.get('location')]).toEqual([202, location]);
    release();
    const made = await plane.settle(underWay);
    expect([made.status, made.json]).toEqual([
      200,
      expect.objectContaining({
        id: hsm('Payroll-1'),
        name: 'Payroll-1',
        type: 'Microsoft.KeyVault/managedHSMs',
        location: 'westus',
        sku: { family: 'B', name: 'Standard_B1' },
        tags: {},
        properties: expect.objectContaining({
          tenantId: plane.pool.tenantId,
          hsmUri: expect.stringMatching(/^https:\/\/payroll-1\.pools\.example:\d+\/$/),
          initialAdminObjectIds: administrators,
          enableSoftDelete: true,
          softDeleteRetentionInDays: 90,
          enablePurgeProtection: true,
          provisioningState: 'Succeeded',
          publicNetworkAccess: 'Enabled',
          securityDomainProperties: expect.objectContaining({ activationStatus: 'NotActivated' }),
        }),
      }),
    ]);
    expect(plane.provisioner.pools.get('payroll-1')?.wanted).toMatchObject({
      tenantId: plane.pool.tenantId,
      administrators,
      purgeProtection: true,
    });
  });

  test('is found in whatever case it is written, and in lists', async () => {
    await make('Found');
    const written = hsm('FOUND').replace('resourceGroups/Keys', 'resourcegroups/keys');
    expect((await plane.call('GET', written)).json).toMatchObject({ id: hsm('Found') });
    for (const scope of [group, `/subscriptions/${plane.subscriptionId}`]) {
      const { json } = await plane.call('GET', `${scope}/${PROVIDER}/managedHSMs`);
      expect(json.value.map(({ name }) => name)).toContain('Found');
    }
    const filter = encodeURIComponent("resourceType eq 'Microsoft.KeyVault/managedHSMs'");
    const { json } = await plane.call(
      'GET',
      `/subscriptions/${plane.subscriptionId}/resources?$filter=${filter}`,
    );
    expect(json.value).toContainEqual(expect.objectContaining({ id: hsm('Found') }));
  });

  test('is listed page by page', async () => {
    await make('Page-1');
    await make('Page-2');
    const names: string[] = [];
    let next: string | undefined = `${group}/${PROVIDER}/managedHSMs?$top=1`;
    while (next !== undefined) {
      const { json }: Awaited<ReturnType<typeof plane.call>> = await plane.call('GET', next);
      expect(json.value.length).toBeLessThanOrEqual(1);
      names.push(...json.value.map(({ name }) => name));
      next = json.nextLink;
    }
    expect(names).toEqual(expect.arrayContaining(['Page-1', 'Page-2']));
  });

  test('is changed where it may be, and its pool with it', async () => {
    await make('Changed', { enablePurgeProtection: false });
    const whole = (await plane.call('GET', hsm('Changed'))).json;
    const tagged = await plane.call('PUT', hsm('Changed'), { ...whole, tags: { team: 'pay' } });
    expect([tagged.status, tagged.json['tags']]).toEqual([200, { team: 'pay' }]);
    const networkAcls = { defaultAction: 'Deny', ipRules: [{ value: '203.0.113.0/24' }] };
    const begun = await plane.call('PATCH', hsm('Changed'), {
      properties: { networkAcls, enablePurgeProtection: true },
    });
    expect(begun.json.properties).toMatchObject({ provisioningState: 'Updating' });
    const { json } = await plane.settle(begun);
    expect(json).toMatchObject({
      tags: { team: 'pay' },
      properties: { networkAcls, enablePurgeProtection: true, provisioningState: 'Succeeded' },
    });
    expect(plane.provisioner.pools.get('changed')?.wanted).toMatchObject({
      purgeProtection: true,
      network: { defaultAction: 'Deny', ipRules: ['203.0.113.0/24'] },
    });
  });

  test.each([
    ['another location', { location: 'eastus' }],
    ['another retention', { properties: { softDeleteRetentionInDays: 8 } }],
    ['other administrators', { properties: { initialAdminObjectIds: [randomUUID()] } }],
    ['no purge protection', { properties: { enablePurgeProtection: false } }],
    ['no soft delete', { properties: { enableSoftDelete: false } }],
    ['another tenant', { properties: { tenantId: randomUUID() } }],
    ['another region', { location: 'westus', properties: { regions: [{ name: 'eastus' }] } }],
    ['a rule that is no address', { properties: { networkAcls: { ipRules: [{ value: 'x' }] } } }],
    ['a virtual network', { properties: { networkAcls: { virtualNetworkRules: [{ id: 'x' }] } } }],
    ['an identity', { identity: { type: 'UserAssigned' } }],
    ['a tag that is too long', { tags: { a: 'x'.repeat(257) } }],
  ])('does not take %s', async (_what, body) => {
    await make('Fixed');
    const { status, json } = await plane.call('PATCH', hsm('Fixed'), body);
    expect([status, json.error.code]).toEqual([400, 'BadParameter']);
  });

  test.each([
    ['a name that is too short', 'ab', newHsm(), 400, 'BadParameter'],
    ['a name that ends with a hyphen', 'abc-', newHsm(), 400, 'BadParameter'],
    ['a name with an underscore', 'a_bc', newHsm(), 400, 'BadParameter'],
    ['no location', 'nowhere', { ...newHsm(), location: undefined }, 400, 'BadParameter'],
    ['no administrators', 'nobody', { location: 'westus' }, 400, 'BadParameter'],
    [
      'a retention of six days',
      'short',
      newHsm({ softDeleteRetentionInDays: 6 }),
      400,
      'BadParameter',
    ],
    ['a recovery of nothing', 'nothing', newHsm({ createMode: 'Recover' }), 400, 'BadParameter'],
    ['the name of a pool elsewhere', 'elsewhere', newHsm(), 409, 'Conflict'],
  ])('is not made with %s', async (_what, name, body, status, code) => {
    plane.provisioner.taken.add('elsewhere');
    const answer = await plane.call('PUT', hsm(name), body);
    expect([answer.status, answer.json.error.code]).toEqual([status, code]);
    expect((await plane.call('GET', hsm(name))).json.error.code).toBe('ResourceNotFound');
  });

  test('is not made in a group that is not there', async () => {
    const { status, json } = await plane.call(
      'PUT',
      hsm('homeless').replace('Keys', 'Other'),
      newHsm(),
    );
    expect([status, json.error.code]).toEqual([404, 'ResourceGroupNotFound']);
  });

  test('whose pool can not be made says why, and can be tried again or deleted at once', async () => {
    const refuse = () => {
      plane.provisioner.refusal = new ServiceError('Conflict', 'No token is free.');
    };
    refuse();
    const failed = await make('Failing');
    expect([failed.status, failed.json.error]).toEqual([
      409,
      { code: 'Conflict', message: expect.stringContaining('No token is free.') },
    ]);
    expect((await plane.call('GET', hsm('Failing'))).json.properties).toMatchObject({
      provisioningState: 'Failed',
      statusMessage: 'No token is free.',
    });
    expect((await make('Failing')).json.properties).toMatchObject({
      provisioningState: 'Succeeded',
    });
    refuse();
    await make('Failing-2');
    expect((await plane.call('DELETE', hsm('Failing-2'))).status).toBe(200);
    expect((await plane.call('GET', hsm('Failing-2'))).status).toBe(404);
    expect((await plane.call('GET', deletedHsm('Failing-2'))).status).toBe(404);
  });

  test('is under one operation at a time', async () => {
    const release = plane.provisioner.hold();
    const begun = await plane.call('PUT', hsm('Busy'), newHsm());
    for (const method of ['PUT', 'PATCH', 'DELETE']) {
      const { status, json } = await plane.call(
        method,
        hsm('Busy'),
        method === 'DELETE' ? undefined : newHsm(),
      );
      expect([status, json.error.code]).toEqual([409, 'Conflict']);
    }
    release();
    expect((await plane.settle(begun)).status).toBe(200);
  });
});

describe('a Managed HSM that is deleted', () => {
  test('is no longer served, holds its name, and comes back as it was', async () => {
    // As az writes it: a text.
    await make('Back', { softDeleteRetentionInDays: '7' });
    const deleted = await plane.settle(await plane.call('DELETE', hsm('Back')));
    expect(deleted.status).toBe(200);
    expect(plane.provisioner.pools.get('back')?.isServed).toBe(false);
    expect((await plane.call('GET', hsm('Back'))).json.error.code).toBe('ResourceNotFound');
    expect((await plane.call('DELETE', hsm('Back'))).status).toBe(204);
    const { json } = await plane.call('GET', deletedHsm('Back'));
    expect(json).toMatchObject({
      id: deletedHsm('Back'),
      type: 'Microsoft.KeyVault/deletedManagedHSMs',
      properties: { mhsmId: hsm('Back'), location: 'westus', purgeProtectionEnabled: true },
    });
    const { deletionDate, scheduledPurgeDate } = json.properties as Record<string, string>;
    const days =
      (Date.parse(scheduledPurgeDate ?? '') - Date.parse(deletionDate ?? '')) / 86_400_000;
    expect(days).toBe(7);
    const listed = await plane.call(
      'GET',
      `/subscriptions/${plane.subscriptionId}/${PROVIDER}/deletedManagedHSMs`,
    );
    expect(listed.json.value.map(({ name }) => name)).toContain('Back');
    expect((await plane.call('PUT', hsm('Back'), newHsm())).json.error.code).toBe('Conflict');

    // As az writes it: without administrators.
    const recovered = await plane.settle(
      await plane.call('PUT', hsm('Back'), {
        location: 'westus',
        properties: { createMode: 'Recover' },
      }),
    );
    expect(recovered.json.properties).toMatchObject({
      provisioningState: 'Succeeded',
      initialAdminObjectIds: administrators,
    });
    expect(plane.provisioner.pools.get('back')?.isServed).toBe(true);
  });

  test('is purged where it is not protected', async () => {
    await make('Gone', { enablePurgeProtection: false });
    await plane.settle(await plane.call('DELETE', hsm('Gone')));
    const begun = await plane.call('POST', `${deletedHsm('Gone')}/purge`);
    expect([begun.status, begun.headers.get('location')]).toEqual([202, expect.any(String)]);
    expect((await plane.settle(begun)).status).toBe(200);
    expect(plane.provisioner.pools.has('gone')).toBe(false);
    expect((await plane.call('GET', deletedHsm('Gone'))).json.error.code).toBe('ResourceNotFound');
    expect((await make('Gone')).status).toBe(200);
  });

  test('is not purged where it is protected', async () => {
    await make('Kept');
    await plane.settle(await plane.call('DELETE', hsm('Kept')));
    const { status, json } = await plane.call('POST', `${deletedHsm('Kept')}/purge`);
    expect([status, json.error.code]).toEqual([403, 'Forbidden']);
    expect(plane.provisioner.pools.has('kept')).toBe(true);
  });
});

describe('a name', () => {
  test.each([
    ['free-name', { nameAvailable: true }],
    ['taken-name', { nameAvailable: false, reason: 'AlreadyExists' }],
    ['x', { nameAvailable: false, reason: 'AccountNameInvalid' }],
  ])('%s is said to be free or not', async (name, expected) => {
    await make('Taken-Name');
    const { json } = await plane.call(
      'POST',
      `/subscriptions/${plane.subscriptionId}/${PROVIDER}/checkMhsmNameAvailability`,
      { name },
    );
    expect(json).toMatchObject(expected);
  });
});

test('what is done is on record, with what was before and after', async () => {
  await make('Recorded');
  await plane.settle(await plane.call('DELETE', hsm('Recorded')));
  const scope = hsm('recorded').replace('Keys', 'keys');
  const events = (await eventsOf(plane.context)).filter((event) => event.scope === scope);
  expect(events.map(({ operation, status, action }) => [operation, status, action])).toEqual([
    ['ManagedHsmOperationEnd', 200, undefined],
    ['ManagedHsmDelete', 202, 'Microsoft.KeyVault/managedHSMs/delete'],
    ['ManagedHsmOperationEnd', 200, undefined],
    ['ManagedHsmWrite', 202, 'Microsoft.KeyVault/managedHSMs/write'],
  ]);
  expect(events.at(-1)?.principalId).toBe(plane.owner);
  expect(events.at(-1)?.change).toMatchObject({ after: { name: 'Recorded', administrators } });
});

test('an operation that a process has left is done by the next one', async () => {
  await make('Left');
  await plane.context.db
    .insertInto('managed_hsm_operation')
    .values({
      pool_id: plane.pool.id,
      id: randomUUID(),
      kind: 'update',
      subscription_id: plane.subscriptionId,
      group_name: 'Keys',
      name_key: 'left',
      name: 'Left',
      status: 'running',
    })
    .execute();
  const before = plane.provisioner.calls.length;
  // Whatever begins has all of them done.
  await make('Left-Next');
  expect(plane.provisioner.calls.slice(before)).toEqual(
    expect.arrayContaining(['update left', 'create left-next']),
  );
});

test.each([
  ['2023-07-01', 200, undefined],
  ['2099-01-01-preview', 200, undefined],
  ['2019-01-01', 400, 'BadParameter'],
  ['2023-02-30', 400, 'BadParameter'],
  ['7.4', 400, 'BadParameter'],
  [null, 400, 'MissingApiVersionParameter'],
])('version %s is answered with %i', async (version, status, code) => {
  const path = `${group}/${PROVIDER}/managedHSMs`;
  const answer = await plane.call('GET', path, undefined, { version });
  expect([answer.status, 'error' in answer.json ? answer.json.error.code : undefined]).toEqual([
    status,
    code,
  ]);
});
