import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type KeyMaterial, type KeyVersion, parseKeyName } from '../../../src/core/keys/key.ts';
import { packBytes } from '../../../src/core/keys/packed-bytes.ts';
import type { KeyReader, KeyWriter } from '../../../src/core/keys/ports.ts';
import { createKeyReader } from '../../../src/store/keys/key-reader.ts';
import { createKeyWriter } from '../../../src/store/keys/key-writer.ts';
import { protectFromPurge } from '../../../src/store/pool/pool-store.ts';
import { createRoleStore } from '../../../src/store/access/role-store.ts';
import { isFullExtent } from '../../support/extent.ts';
import {
  asItIs,
  eventsOf,
  makePool,
  nameOf,
  newChange,
  newVersion,
  openStoreDatabase,
  processOf,
  readPages,
  type VersionFields,
  versionOf,
} from '../../support/store.ts';
import { ROLE } from '../../support/roles.ts';

const database = await openStoreDatabase();
const { db } = database;
afterAll(() => database.close());

const name = parseKeyName('Payments-1');
const RETENTION = 90 * 86_400;
let context: ReturnType<typeof processOf>;
let keys: KeyReader & KeyWriter;
beforeEach(async () => {
  context = processOf(db, await makePool(db));
  keys = { ...createKeyReader(context), ...createKeyWriter(context) };
});

async function add(keyName: string = name, fields: VersionFields = {}): Promise<KeyVersion> {
  const version = newVersion(context.poolId, keyName, fields);
  await keys.insertVersion(version, newChange());
  return version;
}

async function setEnabled({ material }: KeyVersion, enabled: boolean) {
  const { name: key, version } = material.identity;
  return keys.updateVersion(
    key,
    version,
    {
      reseal: asItIs,
      apply: (current) => ({ ...current, attributes: { ...current.attributes, enabled } }),
    },
    newChange(),
  );
}

const answering = async () => {
  const found = await keys.findKey(name);
  return found && versionOf(found);
};

/** Buffers compare as bytes, whatever class they came as. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    // A Buffer has become its own JSON before it comes here; `this` has it as it was.
    JSON.stringify(value, function (this: Readonly<Record<string, unknown>>, member, part) {
      const whole = this[member];
      return whole instanceof Uint8Array ? Buffer.from(whole).toString('hex') : (part as unknown);
    }),
  );

describe('a version', () => {
  const rsa: Pick<KeyMaterial, 'spec' | 'publicKey' | 'sealed'> = {
    spec: { keyType: 'RSA-HSM', bits: 3072, publicExponent: 65_537 },
    publicKey: { keyType: 'RSA-HSM', n: randomBytes(384), e: Buffer.from([1, 0, 1]) },
    sealed: {
      rootGeneration: 1,
      blob: packBytes(randomBytes(1_800)),
      seal: packBytes(randomBytes(32)),
    },
  };
  const aes: Pick<KeyMaterial, 'spec' | 'sealed'> = {
    spec: { keyType: 'oct-HSM', bits: 256 },
    sealed: {
      rootGeneration: 1,
      blob: packBytes(randomBytes(40)),
      macBlob: packBytes(randomBytes(40)),
      seal: packBytes(randomBytes(32)),
    },
  };
  test.each([
    ['an EC key', {}],
    ['an RSA key', rsa],
    ['an AES key', aes],
  ])('of %s comes back as it was written', async (_, parts) => {
    const made = newVersion(context.poolId, name, { tags: { owner: 'payments', 'ß"\\': '' } });
    const { identity, spec, publicKey, sealed } = made.material;
    const material =
      parts === aes ? { identity, ...aes } : { identity, spec, publicKey, sealed, ...parts };
    const version = { ...made, material } as KeyVersion;
    await keys.insertVersion(version, newChange());
    expect(plain(await keys.findKey(name, identity.version))).toEqual(plain(version));
  });

  test.each([
    ['before 1970', -1, -9_000_000_000],
    ['after 2038', 2_147_483_648, 253_402_300_799],
    ['at 0', 0, 0],
  ])('keeps dates %s', async (_, notBefore, expires) => {
    await add(name, { attributes: { notBefore, expires } });
    expect((await keys.findKey(name))?.attributes).toMatchObject({ notBefore, expires });
  });

  test('without dates comes back without dates, not with empty ones', async () => {
    await add();
    expect(Object.keys((await keys.findKey(name))?.attributes ?? {}).sort()).toEqual([
      'created',
      'enabled',
      'updated',
    ]);
  });

  test('that is given out cannot be changed', async () => {
    await add(name, { tags: { a: 'b' } });
    const found = await keys.findKey(name);
    expect(
      [found, found?.material, found?.attributes, found?.tags].every((part) =>
        Object.isFrozen(part),
      ),
    ).toBe(true);
  });
});

describe('a name', () => {
  test.each(['payments-1', 'PAYMENTS-1', 'Payments-1'])(
    'written %s finds the key, which keeps the spelling of its maker',
    async (spelling) => {
      await add();
      const found = await keys.findKey(parseKeyName(spelling));
      expect(found && nameOf(found)).toBe('Payments-1');
    },
  );

  test('in another case adds a version to the key and makes no second key', async () => {
    await add();
    await add('PAYMENTS-1');
    expect((await keys.listKeys({ limit: 10 })).items).toHaveLength(1);
    expect((await keys.listVersions(name, { limit: 10 })).items.map(nameOf)).toEqual([
      'Payments-1',
      'Payments-1',
    ]);
  });

  test('of one pool says nothing of another pool', async () => {
    const version = await add();
    const elsewhere = processOf(db, await makePool(db));
    const others = { ...createKeyReader(elsewhere), ...createKeyWriter(elsewhere) };
    const page = { limit: 10 };
    const same = { reseal: asItIs, apply: (current: KeyVersion) => current };
    expect([
      await others.findKey(name),
      await others.findKey(name, version.material.identity.version),
      await others.updateVersion(name, undefined, same, newChange()),
      await others.deleteKey(name, RETENTION, newChange()),
      (await others.listKeys(page)).items,
      (await others.listVersions(name, page)).items,
    ]).toEqual([undefined, undefined, undefined, undefined, [], []]);
    await keys.deleteKey(name, RETENTION, newChange());
    expect([
      await others.findDeletedKey(name),
      await others.recoverKey(name, newChange()),
      await others.purgeKey(name, newChange()),
      (await others.listDeletedKeys(page)).items,
    ]).toEqual([undefined, undefined, false, []]);
    expect(await eventsOf(elsewhere)).toEqual([]);
    await expect(keys.findDeletedKey(name)).resolves.toBeDefined();
  });
});

describe('the bare name answers with', () => {
  test('the newest version', async () => {
    await add();
    const newest = await add();
    expect(await answering()).toBe(versionOf(newest));
  });

  test('the newest enabled version when a newer one is disabled', async () => {
    const enabled = await add();
    const disabled = await add(name, { enabled: false });
    expect(await answering()).toBe(versionOf(enabled));
    await setEnabled(disabled, true);
    expect(await answering()).toBe(versionOf(disabled));
    await setEnabled(disabled, false);
    expect(await answering()).toBe(versionOf(enabled));
  });

  test('the newest version when none is enabled', async () => {
    const [first, second] = [await add(), await add()];
    await setEnabled(second, false);
    await setEnabled(first, false);
    expect(await answering()).toBe(versionOf(second));
    await setEnabled(first, true);
    expect(await answering()).toBe(versionOf(first));
  });

  test('the same version in the list of keys', async () => {
    const enabled = await add();
    await add(name, { enabled: false });
    expect((await keys.listKeys({ limit: 10 })).items.map(versionOf)).toEqual([versionOf(enabled)]);
  });
});

describe('updating', () => {
  test('changes what may change and nothing else', async () => {
    const made = await add(name, { attributes: { notBefore: 5 }, tags: { old: 'tag' } });
    const seal = packBytes(randomBytes(32));
    const updated = await keys.updateVersion(
      name,
      made.material.identity.version,
      {
        reseal: (material) =>
          Promise.resolve({
            ...material,
            identity: { ...material.identity, operations: ['verify'] },
            sealed: { ...material.sealed, seal },
          }),
        apply: ({ attributes }, material) => ({
          material,
          attributes: { ...attributes, expires: 9, updated: 1_800_000_000 },
          tags: { new: 'tag' },
        }),
      },
      newChange(),
    );
    const found = await keys.findKey(name);
    expect(plain(found)).toEqual(plain(updated));
    expect(plain(found)).toEqual(
      plain({
        material: {
          ...made.material,
          identity: { ...made.material.identity, operations: ['verify'] },
          sealed: { ...made.material.sealed, seal },
        },
        attributes: { ...made.attributes, notBefore: 5, expires: 9, updated: 1_800_000_000 },
        tags: { new: 'tag' },
      }),
    );
  });

  test('without a version changes the newest, even one that is disabled', async () => {
    await add();
    const newest = await add(name, { enabled: false });
    const updated = await keys.updateVersion(
      name,
      undefined,
      { reseal: asItIs, apply: (current) => ({ ...current, tags: { seen: 'yes' } }) },
      newChange(),
    );
    expect(updated && versionOf(updated)).toBe(versionOf(newest));
  });

  test.each([
    ['a name that is not there', 'missing', undefined],
    ['a version that is not there', 'Payments-1', 'f'.repeat(32)],
  ])('%s gives nothing, calls no edit and writes no record', async (_, key, version) => {
    await add();
    const before = await eventsOf(context);
    let edits = 0;
    const updated = await keys.updateVersion(
      parseKeyName(key),
      version as KeyVersion['material']['identity']['version'] | undefined,
      {
        reseal: (material) => {
          edits += 1;
          return Promise.resolve(material);
        },
        apply: (current) => {
          edits += 1;
          return current;
        },
      },
      newChange(),
    );
    expect([updated, edits, await eventsOf(context)]).toEqual([undefined, 0, before]);
  });
});

describe('a deleted key', () => {
  beforeEach(async () => {
    await add();
    await add(name, { tags: { newest: 'yes' } });
    await keys.deleteKey(name, RETENTION, newChange());
  });

  test('is found among the deleted only, with its dates', async () => {
    const deleted = await keys.findDeletedKey(name);
    expect(deleted).toMatchObject({ current: { tags: { newest: 'yes' } } });
    const { deletedAt = 0, purgeAt } = deleted ?? {};
    const [stored] = (
      await sql<{ now: string }>`select extract(epoch from now()) as now`.execute(db)
    ).rows;
    expect(Math.abs(Number(stored?.now) - deletedAt)).toBeLessThan(60);
    expect(purgeAt).toBe(deletedAt + RETENTION);
    const page = { limit: 10 };
    expect([
      await keys.findKey(name),
      (await keys.listKeys(page)).items,
      (await keys.listVersions(name, page)).items,
    ]).toEqual([undefined, [], []]);
    expect((await keys.listDeletedKeys(page)).items).toEqual([deleted]);
  });

  test('gives its name to no new key, in any case of letters', async () => {
    for (const spelling of [name, 'PAYMENTS-1'])
      await expect(add(spelling)).rejects.toMatchObject({ code: 'KeyIsDeleted' });
  });

  test('can be neither updated nor deleted again', async () => {
    const same = { reseal: asItIs, apply: (current: KeyVersion) => current };
    expect([
      await keys.updateVersion(name, undefined, same, newChange()),
      await keys.deleteKey(name, 1, newChange()),
    ]).toEqual([undefined, undefined]);
    await expect(keys.findDeletedKey(name)).resolves.toBeDefined();
  });

  test('that is recovered has all its versions, and is deleted no more', async () => {
    const recovered = await keys.recoverKey(name, newChange());
    expect(recovered?.tags).toEqual({ newest: 'yes' });
    expect((await keys.listVersions(name, { limit: 10 })).items).toHaveLength(2);
    expect([
      await keys.findDeletedKey(name),
      await keys.recoverKey(name, newChange()),
      await keys.purgeKey(name, newChange()),
    ]).toEqual([undefined, undefined, false]);
  });

  test('that is purged leaves nothing, and frees its name', async () => {
    await expect(keys.purgeKey(name, newChange())).resolves.toBe(true);
    await expect(keys.purgeKey(name, newChange())).resolves.toBe(false);
    const left = await db
      .selectFrom('key_version')
      .select('version')
      .where('pool_id', '=', context.poolId)
      .execute();
    expect([left, await keys.findDeletedKey(name)]).toEqual([[], undefined]);
    const made = await add();
    expect(await answering()).toBe(versionOf(made));
  });

  test('is not purged once its pool is protected, by no process however long it runs', async () => {
    await protectFromPurge(context, newChange());
    await expect(keys.purgeKey(name, newChange())).rejects.toMatchObject({
      code: 'PurgeProtected',
    });
    await expect(keys.findDeletedKey(name)).resolves.toBeDefined();
    await expect(keys.recoverKey(name, newChange())).resolves.toBeDefined();
  });

  test('that is purged takes the assignments at its own scope with it, and no others', async () => {
    const roles = createRoleStore(context);
    const scopes = ['/', '/keys', '/keys/payments-1', '/keys/payments-10', '/keys/payments'];
    for (const [index, scope] of scopes.entries())
      await roles.putAssignment(
        {
          id: `00000000-0000-4000-8000-00000000000${index}`,
          principalId: 'alice',
          roleDefinitionId: ROLE.user,
          scope: scope as '/',
        },
        1_700_000_000,
        newChange(),
      );
    context.published.length = 0;
    await keys.purgeKey(name, newChange());
    const left = await roles.listAssignments(
      { scope: '/', above: true, below: true },
      { limit: 9 },
    );
    expect(left.items.map(({ scope }) => scope)).toEqual(
      scopes.filter((scope) => scope !== '/keys/payments-1'),
    );
    expect(context.published).toEqual([
      { topic: 'key', id: 'payments-1' },
      { topic: 'assignment', id: 'alice' },
    ]);
  });
});

/** Of a list of versions. */
const PAGE = isFullExtent ? 300 : 100;
test('a key of hundreds of versions lists them oldest first and answers with the newest', async () => {
  const made: string[] = [];
  for (let count = 0; count < 3 * PAGE + 10; count += 1) made.push(versionOf(await add()));
  const pages = await readPages((page) => keys.listVersions(name, page), PAGE);
  expect(pages.map((page) => page.length)).toEqual([PAGE, PAGE, PAGE, 10]);
  expect(pages.flat().map(versionOf)).toEqual(made);
  expect(await answering()).toBe(made.at(-1));
  const [first] = pages.flat();
  await expect(
    keys.findKey(name, first?.material.identity.version).then((found) => found && versionOf(found)),
  ).resolves.toBe(made[0]);
});
