import { randomUUID } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type KeyVersion, parseKeyName } from '../../src/core/keys/key.ts';
import type { StateChange } from '../../src/core/caching/change-feed.ts';
import type { VersionEdit } from '../../src/core/keys/ports.ts';
import { CRYPTO_OFFICER_ROLE } from '../../src/core/access/role.ts';
import { createDirectoryStore } from '../../src/store/directory/directory-store.ts';
import { createKeyReader } from '../../src/store/keys/key-reader.ts';
import { createKeyWriter } from '../../src/store/keys/key-writer.ts';
import { createRoleStore } from '../../src/store/access/role-store.ts';
import {
  asItIs,
  eventsOf,
  makePool,
  newChange,
  newVersion,
  openStoreDatabase,
  processOf,
  unrecordableChange,
  withClient,
} from '../support/store.ts';

const database = await openStoreDatabase();
const { db, serviceUrl } = database;
afterAll(() => database.close());

const name = parseKeyName('ledger');
const retention = 1;
const TABLES = [
  'key',
  'key_version',
  'role_assignment',
  'application',
  'application_password',
  'service_principal',
] as const;

let context: ReturnType<typeof processOf>;
let stores: ReturnType<typeof openStores>;
beforeEach(async () => {
  context = processOf(db, await makePool(db));
  stores = openStores();
});

function openStores() {
  return {
    keys: { ...createKeyReader(context), ...createKeyWriter(context) },
    roles: createRoleStore(context),
    directory: createDirectoryStore(context),
  };
}

const ids = { assignment: randomUUID(), application: randomUUID(), appId: randomUUID() };
const more = { assignment: randomUUID(), principal: randomUUID(), password: randomUUID() };
const assignment = {
  id: ids.assignment,
  principalId: 'alice',
  roleDefinitionId: CRYPTO_OFFICER_ROLE,
  scope: '/',
} as const;
const application = {
  id: ids.application,
  appId: ids.appId,
  displayName: 'client',
  createdAt: new Date(0),
};
const principal = { id: more.principal, appId: ids.appId, displayName: 'client', enabled: true };
const password = {
  keyId: more.password,
  hint: 'abc',
  hash: 'scrypt',
  startsAt: new Date(0),
  endsAt: new Date(1),
};

type Step = (change: ReturnType<typeof newChange>) => Promise<unknown>;
const steps = {
  addKey: (change) => stores.keys.insertVersion(newVersion(context.poolId, name), change),
  updateKey: (change) =>
    stores.keys.updateVersion(
      name,
      undefined,
      { reseal: asItIs, apply: (current) => ({ ...current, tags: { updated: 'yes' } }) },
      change,
    ),
  deleteKey: (change) => stores.keys.deleteKey(name, retention, change),
  recoverKey: (change) => stores.keys.recoverKey(name, change),
  purgeKey: (change) => stores.keys.purgeKey(name, change),
  assign: (change) => stores.roles.putAssignment(assignment, 1_700_000_000, change),
  assignAnother: (change) =>
    stores.roles.putAssignment(
      { ...assignment, id: more.assignment, principalId: 'bob' },
      1_700_000_000,
      change,
    ),
  unassign: (change) => stores.roles.deleteAssignment(ids.assignment, '/', change),
  addApplication: (change) => stores.directory.insertApplication(application, change),
  addPassword: (change) => stores.directory.insertPassword(ids.application, password, change),
  removePassword: (change) =>
    stores.directory.deletePassword(ids.application, more.password, change),
  addPrincipal: (change) => stores.directory.insertServicePrincipal(principal, change),
  removePrincipal: (change) => stores.directory.deleteServicePrincipal(more.principal, change),
  removeApplication: (change) => stores.directory.deleteApplication(ids.application, change),
} satisfies Record<string, Step>;
type StepName = keyof typeof steps;

const key = { topic: 'key', id: 'ledger' };
const app = { topic: 'directory', id: ids.application };
const sp = { topic: 'directory', id: more.principal };
const spRoles = { topic: 'assignment', id: more.principal };

/** Each change, what must be there before it, and what it publishes. */
const changes: [StepName, StepName[], object[]][] = [
  ['addKey', [], [key]],
  ['updateKey', ['addKey'], [key]],
  ['deleteKey', ['addKey'], [key]],
  ['recoverKey', ['addKey', 'deleteKey'], [key]],
  ['purgeKey', ['addKey', 'deleteKey'], [key]],
  ['assign', [], [{ topic: 'assignment', id: 'alice' }]],
  ['unassign', ['assign', 'assignAnother'], [{ topic: 'assignment', id: 'alice' }]],
  ['addApplication', [], [app]],
  ['addPassword', ['addApplication'], [app]],
  ['removePassword', ['addApplication', 'addPassword'], [app]],
  ['addPrincipal', ['addApplication'], [sp]],
  ['removePrincipal', ['addApplication', 'addPrincipal'], [sp, spRoles]],
  ['removeApplication', ['addApplication', 'addPassword'], [app]],
  ['removeApplication', ['addApplication', 'addPrincipal'], [app, sp, spRoles]],
];

async function prepare(before: readonly StepName[]): Promise<void> {
  for (const step of before) await steps[step](newChange('Preparation'));
  context.published.length = 0;
}

/** All that the pool has, but for the audit log. */
async function stateOf(): Promise<unknown> {
  return Promise.all(
    TABLES.map(async (table) => {
      const rows = await db
        .selectFrom(table)
        .selectAll()
        .where('pool_id', '=', context.poolId)
        .execute();
      return rows.map((row) => JSON.stringify(row)).sort();
    }),
  );
}

describe.each(changes)('%s after %j', (step, before, publishes) => {
  test('commits with its record, is published afterwards, and says so', async () => {
    await prepare(before);
    const draft = newChange('TheChange');
    await steps[step](draft);
    expect(draft.isCommitted).toBe(true);
    expect(context.published).toEqual(publishes);
    const [event] = await eventsOf(context);
    expect(event).toMatchObject({ operation: 'TheChange', outcome: 'success', status: 200 });
    expect(await eventsOf(context)).toHaveLength(before.length + 1);
  });

  test('does not happen where its record cannot be written', async () => {
    await prepare(before);
    const [state, events] = [await stateOf(), await eventsOf(context)];
    const draft = unrecordableChange();
    await expect(steps[step](draft)).rejects.toThrow();
    expect([await stateOf(), await eventsOf(context)]).toEqual([state, events]);
    expect([draft.isCommitted, context.published]).toEqual([false, []]);
  });
});

test.each<[StepName, StepName[]]>([
  ['updateKey', []],
  ['deleteKey', []],
  ['recoverKey', ['addKey']],
  ['purgeKey', ['addKey']],
  ['unassign', ['assignAnother']],
  ['removePassword', ['addApplication']],
  ['removePrincipal', ['addApplication']],
  ['removeApplication', []],
])(
  '%s of what is not there leaves no record of success and publishes nothing',
  async (step, before) => {
    await prepare(before);
    const events = await eventsOf(context);
    const draft = newChange();
    expect([undefined, false]).toContain(await steps[step](draft));
    expect([draft.isCommitted, context.published]).toEqual([false, []]);
    expect(await eventsOf(context)).toEqual(events);
  },
);

const failure = new Error('it does not work');
const same = (current: KeyVersion) => current;
test.each<[string, VersionEdit<KeyVersion>]>([
  ['A reseal', { reseal: () => Promise.reject(failure), apply: same }],
  [
    'An edit',
    {
      reseal: asItIs,
      apply: () => {
        throw failure;
      },
    },
  ],
])('%s that fails changes nothing, frees the key and gives its own error', async (_, edit) => {
  await prepare(['addKey']);
  const state = await stateOf();
  await expect(stores.keys.updateVersion(name, undefined, edit, newChange())).rejects.toBe(failure);
  expect(await stateOf()).toEqual(state);
  await steps.updateKey(newChange());
});

test('the record says what was noted while the change was made', async () => {
  await prepare(['addKey']);
  const draft = newChange();
  await stores.keys.updateVersion(
    name,
    undefined,
    {
      reseal: asItIs,
      apply: (current) => {
        draft.note({ keyName: name, change: { after: { tags: {} } } });
        return current;
      },
    },
    draft,
  );
  const [event] = await eventsOf(context);
  expect(event).toMatchObject({ keyName: 'ledger', change: { after: { tags: {} } } });
});

describe('other processes', () => {
  async function notificationsOf(work: () => Promise<unknown>): Promise<StateChange[]> {
    return withClient(serviceUrl, async (client) => {
      const heard: string[] = [];
      client.on('notification', ({ payload = '' }) => heard.push(payload));
      await client.query('listen strongroom_change');
      await work();
      // A round trip brings what was committed before it.
      await client.query('select 1');
      return heard
        .map((payload) => JSON.parse(payload) as StateChange & { poolId: string })
        .filter(({ poolId }) => poolId === context.poolId)
        .map(({ topic, id }) => ({ topic, id }));
    });
  }

  test.each(changes)('hear of %s after %j', async (step, before, publishes) => {
    await prepare(before);
    expect(await notificationsOf(() => steps[step](newChange()))).toEqual(publishes);
  });

  test('hear nothing of a change that did not come about', async () => {
    expect(
      await notificationsOf(() => steps.addKey(unrecordableChange()).catch(() => undefined)),
    ).toEqual([]);
  });
});
