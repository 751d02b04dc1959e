import { randomUUID } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { parseKeyName } from '../../../src/core/keys/key.ts';
import type { Witness } from '../../../src/core/audit/witness.ts';
import { createKeyArchive } from '../../../src/store/recovery/key-archive.ts';
import { createKeyWriter } from '../../../src/store/keys/key-writer.ts';
import { createUsersAndGroupsStore } from '../../../src/store/directory/users-and-groups-store.ts';
import { createPool } from '../../../src/store/pool/pool-store.ts';
import { createRoleStore } from '../../../src/store/access/role-store.ts';
import { createRotationStore } from '../../../src/store/keys/rotation-store.ts';
import {
  UNWITNESSED_TABLES,
  WITNESSED_TABLES,
} from '../../../src/store/witness/witnessed-tables.ts';
import {
  asItIs,
  eventsOf,
  makePool,
  newChange,
  newVersion,
  openConnections,
  openStoreDatabase,
  processOf,
  withClient,
} from '../../support/store.ts';

const database = await openStoreDatabase();
const { db, ownerUrl } = database;
afterAll(() => database.close());

const asOwner = async <Row extends object>(statement: string, values: unknown[] = []) =>
  (await withClient(ownerUrl, (client) => client.query<Row>(statement, values))).rows;

const name = parseKeyName('ledger');
let context: ReturnType<typeof processOf>;
beforeEach(async () => {
  context = processOf(db, await makePool(db));
});

/** What the newest record witnesses. */
async function witnessed(): Promise<readonly Witness[]> {
  const [event] = await eventsOf(context);
  return event?.witnessed ?? [];
}

const ofRow = (table: string, row: string) => expect.objectContaining({ table, row });

describe('the list of witnessed tables', () => {
  test('leaves out no table of the schema without a reason', async () => {
    const tables = await asOwner<{ name: string }>(
      `select relname as name from pg_class c
       where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition`,
    );
    const listed = [
      ...WITNESSED_TABLES.map((table) => table.name),
      ...Object.keys(UNWITNESSED_TABLES),
    ];
    expect(tables.map((table) => table.name).sort()).toEqual(listed.sort());
  });

  test.each(WITNESSED_TABLES)('is what the triggers of $name go by', async (table) => {
    const triggers = await asOwner<{ event: string; arguments: string }>(
      `select tgname as event, encode(tgargs, 'escape') as arguments from pg_trigger
       where tgrelid = $1::regclass and not tgisinternal and tgname like 'witness_%' order by tgname`,
      [table.name],
    );
    const [primary] = await asOwner<{ columns: string[] }>(
      `select array_agg(attname::text order by place) as columns
       from pg_constraint c cross join unnest(conkey) with ordinality as k (number, place)
       join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.number
       where contype = 'p' and conrelid = $1::regclass and attname <> 'pool_id' and conrelid <> 'pool'::regclass`,
      [table.name],
    );
    const keys = table.keys.map(([column]) => column);
    expect(primary?.columns ?? []).toEqual(keys);
    const wanted = `${keys.join(' ')}\\000${Object.keys(table.skipped).join(' ')}\\000`;
    expect(triggers).toEqual(
      ['witness_delete', 'witness_insert', 'witness_update'].map((event) => ({
        event,
        arguments: wanted,
      })),
    );
  });
});

describe('the record of a change', () => {
  test('holds the state that each row was in, and the one that it is in now', async () => {
    const keys = createKeyWriter(context);
    const version = newVersion(context.poolId, name);
    await keys.insertVersion(version, newChange());
    const id = version.material.identity.version;
    const made = await witnessed();
    expect(made).toEqual(
      expect.arrayContaining([
        ofRow('key', '["ledger"]'),
        ofRow('key_version', `["ledger", "${id}"]`),
      ]),
    );
    expect(made).toHaveLength(2);
    expect(made.every(({ before, after }) => before === undefined && after?.length === 43)).toBe(
      true,
    );

    const edit = (enabled: boolean) =>
      keys.updateVersion(
        name,
        undefined,
        {
          reseal: asItIs,
          apply: (current) => ({ ...current, attributes: { ...current.attributes, enabled } }),
        },
        newChange(),
      );
    await edit(false);
    const [disabled, ...others] = await witnessed();
    expect(others).toEqual([]);
    expect(disabled?.before).toBe(made.find(({ table }) => table === 'key_version')?.after);
    expect(disabled?.after).not.toBe(disabled?.before);
    await edit(true);
    const [enabled] = await witnessed();
    expect(enabled).toMatchObject({ before: disabled?.after, after: disabled?.before });
    expect(enabled?.revision).toBeGreaterThan(disabled?.revision ?? Infinity);
  });

  test('that leaves every row as it was witnesses none', async () => {
    const keys = createKeyWriter(context);
    await keys.insertVersion(newVersion(context.poolId, name), newChange());
    await keys.updateVersion(
      name,
      undefined,
      { reseal: asItIs, apply: (current) => current },
      newChange(),
    );
    const [event] = await eventsOf(context);
    expect(event).not.toHaveProperty('witnessed');
  });

  test('names the rows that went along: versions, policy and assignments of a key that is purged', async () => {
    const keys = createKeyWriter(context);
    const version = newVersion(context.poolId, name);
    await keys.insertVersion(version, newChange());
    const policy = { actions: [], created: 1, updated: 1 };
    await createRotationStore(context).putPolicy(name, policy, newChange());
    const assignment = {
      id: randomUUID(),
      principalId: 'alice',
      roleDefinitionId: randomUUID(),
      scope: '/keys/ledger',
    } as const;
    await createRoleStore(context).putAssignment(assignment, 1, newChange());
    await keys.deleteKey(name, 7 * 86_400, newChange());
    await keys.purgeKey(name, newChange());
    const gone = await witnessed();
    expect(gone.map(({ table }) => table).sort()).toEqual([
      'key',
      'key_version',
      'role_assignment',
      'rotation_policy',
    ]);
    expect(gone.every(({ before, after }) => before !== undefined && after === undefined)).toBe(
      true,
    );
  });

  test('is followed by others where it touches many rows: none is too large, and no row is left out', async () => {
    const versions = Array.from({ length: 120 }, () => ({
      version: newVersion(context.poolId, name),
      encryptions: 0,
    }));
    await createKeyArchive(context).insertKey({ name, versions }, newChange('KeyRestore'));
    const events = await eventsOf(context);
    expect(events.map(({ operation }) => operation).sort()).toEqual([
      'KeyRestore',
      'StateWitnessed',
      'StateWitnessed',
    ]);
    expect(new Set(events.map(({ requestId }) => requestId)).size).toBe(1);
    const rows = events.flatMap((event) => event.witnessed ?? []).map(({ row }) => row);
    expect(new Set(rows).size).toBe(121);
    expect(Math.max(...events.map((event) => event.witnessed?.length ?? 0))).toBe(50);
  });

  test('knows of rows that a foreign key takes along', async () => {
    const usersAndGroups = createUsersAndGroupsStore(context);
    const group = { id: randomUUID(), displayName: 'group' };
    await usersAndGroups.insertGroup(group, newChange());
    const user = {
      id: randomUUID(),
      displayName: 'Alice',
      userPrincipalName: 'alice@example.com',
      enabled: true,
      identities: [{ issuer: 'https://issuer.example', subject: 'the "subject"' }],
    };
    await usersAndGroups.insertUser(user, newChange());
    await usersAndGroups.insertMember(group.id, user.id, newChange());
    await usersAndGroups.deleteUser(user.id, newChange());
    expect((await witnessed()).map(({ table, row }) => `${table} ${row}`).sort()).toEqual([
      `directory_user ["${user.id}"]`,
      `group_member ["${group.id}", "${user.id}"]`,
      'user_identity ["https://issuer.example", "the \\"subject\\""]',
    ]);
  });

  test('takes no state from what a connection was left with', async () => {
    const fresh = openConnections(database.serviceUrl, 1);
    await sql`select set_config('strongroom.witnessed', '1 {"table":"role_assignment"}', false)`.execute(
      fresh,
    );
    await createKeyWriter({ ...context, db: fresh }).insertVersion(
      newVersion(context.poolId, name),
      newChange(),
    );
    await fresh.destroy();
    expect((await witnessed()).map(({ table }) => table).sort()).toEqual(['key', 'key_version']);
  });

  test('does not commit where the change has touched another pool', async () => {
    const other = await makePool(db);
    await expect(
      createPool(
        context,
        { ...other, id: randomUUID(), name: randomUUID(), tenantId: randomUUID() },
        newChange(),
      ),
    ).rejects.toThrow('another pool');
  });
});
