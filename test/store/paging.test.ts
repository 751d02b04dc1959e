import { randomUUID } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { parseKeyName } from '../../src/core/keys/key.ts';
import type { Page, PageRequest } from '../../src/core/paging.ts';
import { createAuditReader, createAuditWriter } from '../../src/store/audit/audit-store.ts';
import { createDirectoryStore } from '../../src/store/directory/directory-store.ts';
import { createKeyReader } from '../../src/store/keys/key-reader.ts';
import { createKeyWriter } from '../../src/store/keys/key-writer.ts';
import { createRoleStore } from '../../src/store/access/role-store.ts';
import {
  makePool,
  nameOf,
  newChange,
  newVersion,
  openStoreDatabase,
  processOf,
  readPages,
  versionOf,
} from '../support/store.ts';

const database = await openStoreDatabase();
afterAll(() => database.close());

const everything = { scope: '/', above: true, below: true } as const;
const everyone = [] as const;
const guid = (index: number) => `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;

let stores: ReturnType<typeof openStores>;
beforeEach(async () => {
  stores = openStores(processOf(database.db, await makePool(database.db)));
});

function openStores(context: ReturnType<typeof processOf>) {
  return {
    context,
    keys: { ...createKeyReader(context), ...createKeyWriter(context) },
    roles: createRoleStore(context),
    directory: createDirectoryStore(context),
    events: createAuditReader(context),
    writer: createAuditWriter(context),
  };
}

interface List {
  /** Adds the thing that is at this place in the list's order. */
  readonly add: (place: number) => Promise<unknown>;
  readonly list: (page: PageRequest) => Promise<Page<string>>;
  /** What the list says of the thing at a place. */
  readonly shown: (place: number) => string;
}

const keyName = (place: number) => `key-${String(place).padStart(3, '0')}`;
const application = (place: number) => ({
  id: guid(place),
  appId: randomUUID(),
  displayName: 'same name',
  createdAt: new Date(),
});

function named<T>(page: Page<T>, name: (item: T) => string): Page<string> {
  return { ...page, items: page.items.map(name) };
}

const lists: Record<string, List> = {
  keys: {
    add: (place) =>
      stores.keys.insertVersion(newVersion(stores.context.poolId, keyName(place)), newChange()),
    list: async (page) => named(await stores.keys.listKeys(page), nameOf),
    shown: keyName,
  },
  'deleted keys': {
    async add(place) {
      await listOf('keys').add(place);
      await stores.keys.deleteKey(parseKeyName(keyName(place)), 1, newChange());
    },
    list: async (page) =>
      named(await stores.keys.listDeletedKeys(page), ({ current }) => nameOf(current)),
    shown: keyName,
  },
  assignments: {
    add: (place) =>
      stores.roles.putAssignment(
        {
          id: guid(place),
          principalId: `p-${place}`,
          roleDefinitionId: guid(1),
          scope: '/keys',
        },
        1_700_000_000,
        newChange(),
      ),
    list: async (page) =>
      named(await stores.roles.listAssignments(everything, page), ({ id }) => id),
    shown: guid,
  },
  applications: {
    add: (place) => stores.directory.insertApplication(application(place), newChange()),
    list: async (page) =>
      named(await stores.directory.listApplications(everyone, page), ({ id }) => id),
    shown: guid,
  },
  'service principals': {
    async add(place) {
      const made = application(place);
      await stores.directory.insertApplication(made, newChange());
      const { id, appId, displayName } = made;
      await stores.directory.insertServicePrincipal(
        { id, appId, displayName, enabled: true },
        newChange(),
      );
    },
    list: async (page) =>
      named(await stores.directory.listServicePrincipals(everyone, page), ({ id }) => id),
    shown: guid,
  },
};

function listOf(kind: string): List {
  const found = lists[kind];
  if (found === undefined) throw new Error(`there is no list of ${kind}`);
  return found;
}

describe.each(Object.keys(lists))('a list of %s', (kind) => {
  const { add, list, shown } = listOf(kind);
  const fill = async (places: readonly number[]) => {
    for (const place of places) await add(place);
  };

  test('is empty, and one page, where there is nothing', async () => {
    await expect(list({ limit: 3 })).resolves.toEqual({ items: [] });
  });

  test.each([
    [6, [3, 3]],
    [7, [3, 3, 1]],
    [3, [3]],
    [2, [2]],
  ])('of %i comes in pages of 3, in order, each thing once', async (count, sizes) => {
    const places = Array.from({ length: count }, (_, index) => 10 * (index + 1));
    await fill([...places].reverse());
    const pages = await readPages(list, 3);
    expect(pages.map((page) => page.length)).toEqual(sizes);
    expect(pages.flat()).toEqual(places.map(shown));
  });

  test('shows what stays exactly once while others come before and after the page', async () => {
    const places = [10, 20, 30, 40, 50, 60];
    await fill(places);
    const pages = await readPages(list, 2, async (page) => {
      if (page === 1) await fill([5, 35, 70]);
    });
    expect(pages.flat()).toEqual([10, 20, 30, 35, 40, 50, 60, 70].map(shown));
  });

  test.each([
    ['nothing', ''],
    ['another alphabet', 'ключ'],
    ['a quote', `'; drop table key; --`],
    ['a zero byte', 'a\0'],
    ['a line end', 'key-001\n'],
    ['dots', '.'.repeat(36)],
    ['too much', 'a'.repeat(400)],
  ])('refuses a cursor of %s', async (_, place) => {
    await expect(
      list({ limit: 3, after: Buffer.from(place).toString('base64url') }),
    ).rejects.toMatchObject({ code: 'BadParameter' });
  });

  test('refuses a cursor that is no base64url', async () => {
    await expect(list({ limit: 3, after: '!' })).rejects.toMatchObject({ code: 'BadParameter' });
  });
});

test.each(['assignments', 'applications', 'service principals'])(
  'a list of %s refuses a cursor that only looks like a GUID',
  async (kind) => {
    const after = Buffer.from('-'.repeat(36)).toString('base64url');
    await expect(listOf(kind).list({ limit: 3, after })).rejects.toMatchObject({
      code: 'BadParameter',
    });
  },
);

describe('while rows go', () => {
  test('a list of keys goes on after one that is no longer there', async () => {
    for (const place of [1, 2, 3, 4, 5, 6]) await listOf('keys').add(place);
    const pages = await readPages(
      (page) => stores.keys.listKeys(page),
      2,
      async (page) => {
        if (page !== 1) return;
        for (const place of [1, 2, 4])
          await stores.keys.deleteKey(parseKeyName(keyName(place)), 1, newChange());
      },
    );
    expect(pages.flat().map(nameOf)).toEqual([1, 2, 3, 5, 6].map(keyName));
  });

  test('a list of versions goes on with those that come, oldest first', async () => {
    const made: string[] = [];
    const add = async () => {
      const version = newVersion(stores.context.poolId, 'key');
      await stores.keys.insertVersion(version, newChange());
      made.push(versionOf(version));
    };
    for (let count = 0; count < 5; count += 1) await add();
    const pages = await readPages(
      (page) => stores.keys.listVersions(parseKeyName('key'), page),
      2,
      (page) => (page === 1 ? add() : Promise.resolve()),
    );
    expect(pages.flat().map(versionOf)).toEqual(made);
    expect(made).toHaveLength(6);
  });

  test('the audit log, newest first, is not shifted by what is added at its head', async () => {
    const record = (operation: string) => newChange(operation).toRecord();
    const names = Array.from({ length: 7 }, (_, index) => `Operation${index}`);
    for (const operation of names) await stores.writer.write([record(operation)]);
    const pages = await readPages(
      (page) => stores.events.listEvents({}, page),
      3,
      () => stores.writer.write([record('Later'), record('Later')]),
    );
    expect(pages.map((page) => page.length)).toEqual([3, 3, 1]);
    expect(pages.flat().map(({ operation }) => operation)).toEqual([...names].reverse());
  });
});
