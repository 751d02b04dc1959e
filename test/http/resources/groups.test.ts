import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ControlPlane, openControlPlane } from '../../support/control-plane.ts';
import { openStoreDatabase } from '../../support/store.ts';

const database = await openStoreDatabase();
let plane: ControlPlane;
let subscription: string;
beforeAll(async () => {
  plane = await openControlPlane(database.db);
  subscription = `/subscriptions/${plane.subscriptionId}`;
});
afterAll(async () => {
  await plane.close();
  await database.close();
});

const group = (name: string) => `${subscription}/resourceGroups/${name}`;
const hsmIn = (name: string) => `${group(name)}/providers/Microsoft.KeyVault/managedHSMs/${name}`;

describe('subscriptions', () => {
  test('are those that a client may see something of', async () => {
    const { json } = await plane.call('GET', '/subscriptions');
    expect(json.value).toEqual([
      expect.objectContaining({
        id: subscription,
        subscriptionId: plane.subscriptionId,
        tenantId: plane.pool.tenantId,
        state: 'Enabled',
      }),
    ]);
    expect((await plane.call('GET', subscription)).json).toEqual(json.value[0]);
    const stranger = { as: randomUUID() };
    expect((await plane.call('GET', '/subscriptions', undefined, stranger)).json.value).toEqual([]);
    const refused = await plane.call('GET', subscription, undefined, stranger);
    expect([refused.status, refused.json.error.code]).toEqual([403, 'AuthorizationFailed']);
  });

  test.each(['locations', 'providers', 'providers/Microsoft.KeyVault', 'resources'])(
    'answer %s, as clients ask before they make anything',
    async (list) => {
      expect((await plane.call('GET', `${subscription}/${list}`)).status).toBe(200);
    },
  );

  test.each(['vaults', 'deletedVaults'])('have no %s, and say so', async (list) => {
    const path = `${subscription}/providers/Microsoft.KeyVault/${list}`;
    expect((await plane.call('GET', path)).json).toEqual({ value: [] });
  });

  test('that are not there have nothing', async () => {
    const { status, json } = await plane.call(
      'PUT',
      `/subscriptions/${randomUUID()}/resourceGroups/a`,
      {
        location: 'local',
      },
    );
    expect([status, json.error.code]).toEqual([404, 'SubscriptionNotFound']);
  });
});

describe('a resource group', () => {
  test('is made, found, changed and deleted', async () => {
    expect((await plane.call('HEAD', group('One'))).status).toBe(404);
    const made = await plane.call('PUT', group('One'), { location: 'West US', tags: { a: 'b' } });
    expect([made.status, made.json]).toEqual([
      201,
      {
        id: group('One'),
        name: 'One',
        type: 'Microsoft.Resources/resourceGroups',
        location: 'westus',
        tags: { a: 'b' },
        properties: { provisioningState: 'Succeeded' },
      },
    ]);
    expect((await plane.call('HEAD', group('ONE'))).status).toBe(204);
    expect((await plane.call('GET', group('one'))).json).toEqual(made.json);
    const changed = await plane.call('PUT', group('one'), { location: 'westus' });
    expect([changed.status, changed.json]).toMatchObject([200, { name: 'One', tags: {} }]);
    expect((await plane.call('PUT', group('one'), { location: 'eastus' })).status).toBe(409);
    expect((await plane.call('DELETE', group('one'))).status).toBe(200);
    expect((await plane.call('DELETE', group('one'))).json.error.code).toBe(
      'ResourceGroupNotFound',
    );
  });

  test('is listed, by a tag where asked', async () => {
    await plane.call('PUT', group('Tagged'), { location: 'local', tags: { team: "pay's" } });
    await plane.call('PUT', group('Plain'), { location: 'local' });
    const list = async (filter: string) =>
      (
        await plane.call(
          'GET',
          `${subscription}/resourcegroups?$filter=${encodeURIComponent(filter)}`,
        )
      ).json;
    expect((await list("tagName eq 'team' and tagValue eq 'pay''s'")).value).toEqual([
      expect.objectContaining({ name: 'Tagged' }),
    ]);
    expect((await list("tagName eq 'other'")).value).toEqual([]);
    expect((await list('tagName ne 1')).error.code).toBe('BadParameter');
  });

  test('takes its Managed HSMs along, which can be recovered into one of its name', async () => {
    await plane.call('PUT', group('Whole'), { location: 'local' });
    const body = { location: 'local', properties: { initialAdminObjectIds: [randomUUID()] } };
    await plane.settle(await plane.call('PUT', hsmIn('Whole'), body));
    expect((await plane.call('DELETE', group('Whole'))).status).toBe(200);
    expect((await plane.call('GET', hsmIn('Whole'))).json.error.code).toBe('ResourceNotFound');
    const recovery = { location: 'local', properties: { createMode: 'Recover' } };
    const early = await plane.call('PUT', hsmIn('Whole'), recovery);
    expect(early.json.error.code).toBe('ResourceGroupNotFound');
    await plane.call('PUT', group('Whole'), { location: 'local' });
    const tryToRecover = async () =>
      plane.settle(await plane.call('PUT', hsmIn('Whole'), recovery));
    let recovered = await tryToRecover();
    // The pool may still be on its way out of service.
    for (let tries = 0; recovered.status === 409 && tries < 100; tries += 1)
      recovered = await tryToRecover();
    expect(recovered.json.properties).toMatchObject({ provisioningState: 'Succeeded' });
    expect(plane.provisioner.pools.get('whole')?.isServed).toBe(true);
  });

  test.each(['ends.', 'has a/slash', 'sémi;colon', 'x'.repeat(91)])(
    'is not called %s',
    async (name) => {
      const { status } = await plane.call('PUT', group(encodeURIComponent(name)), {
        location: 'local',
      });
      expect([400, 404]).toContain(status);
    },
  );
});
