import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type KeyVersion, parseKeyName } from '../../../src/core/keys/key.ts';
import type { KeyReader } from '../../../src/core/keys/ports.ts';
import { cacheKeys } from '../../../src/store/keys/cached-key-reader.ts';
import { createKeyReader } from '../../../src/store/keys/key-reader.ts';
import { createKeyWriter } from '../../../src/store/keys/key-writer.ts';
import { FakeChangeFeed } from '../../support/fakes/change-feed.ts';
import {
  asItIs,
  makePool,
  newChange,
  newVersion,
  openStoreDatabase,
  processOf,
  versionOf,
} from '../../support/store.ts';

const database = await openStoreDatabase();
const { db } = database;
afterAll(() => database.close());

const name = parseKeyName('Payments');
let feed: FakeChangeFeed;
let poolId: string;
let reads: number;
/** Room for three versions of the tests' AES keys, and not for four. */
const LIMIT_BYTES = 6_000;

let afterRead: () => Promise<unknown> | undefined;
let cached: KeyReader;
let writer: ReturnType<typeof createKeyWriter>;

beforeEach(async () => {
  feed = new FakeChangeFeed();
  const context = processOf(db, await makePool(db));
  poolId = context.poolId;
  writer = createKeyWriter({
    ...context,
    publish: (change) => {
      feed.publish(change);
    },
  });
  reads = 0;
  afterRead = () => undefined;
  cached = cacheKeys(counting(createKeyReader(context)), feed, LIMIT_BYTES);
});

/** The real store, with its reads counted, and what happens between a read and its arrival. */
function counting(reader: KeyReader): KeyReader {
  return {
    ...reader,
    async findKey(...key) {
      reads += 1;
      const found = await reader.findKey(...key);
      await afterRead();
      return found;
    },
  };
}

async function add(key: string = name): Promise<KeyVersion> {
  const version = newVersion(poolId, key);
  await writer.insertVersion(version, newChange());
  return version;
}

const idOf = (version: KeyVersion) => version.material.identity.version;
const current = async () => {
  const found = await cached.findKey(name);
  return found && versionOf(found);
};

describe('while the feed is coherent', () => {
  test('an unchanged key is read once and is the same object, in any case of letters', async () => {
    await add();
    const [first, second, third] = [
      await cached.findKey(name),
      await cached.findKey(name),
      await cached.findKey(parseKeyName('PAYMENTS')),
    ];
    expect(first).toBeDefined();
    expect([second === first, third === first, reads]).toEqual([true, true, 1]);
  });

  test('fifty who ask at once after a change cause one read of each version that they ask for', async () => {
    const [older] = [await add(), await add()];
    await cached.findKey(name);
    const newest = await add();
    reads = 0;
    const found = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        cached.findKey(name, index % 2 === 0 ? undefined : idOf(older)),
      ),
    );
    expect(reads).toBe(2);
    expect(new Set(found.map((each) => each && versionOf(each)))).toEqual(
      new Set([versionOf(newest), versionOf(older)]),
    );
  });

  test('versions of one name are remembered side by side', async () => {
    const [older, newer] = [await add(), await add()];
    for (let turn = 0; turn < 3; turn += 1) {
      expect(await current()).toBe(versionOf(newer));
      for (const version of [older, newer]) {
        const found = await cached.findKey(name, idOf(version));
        expect(found && versionOf(found)).toBe(versionOf(version));
      }
    }
    expect(reads).toBe(3);
  });

  test('every version of a key is found, however many are asked for', async () => {
    const versions: KeyVersion[] = [];
    for (let count = 0; count < 40; count += 1) versions.push(await add());
    for (const version of [...versions, ...versions]) {
      const found = await cached.findKey(name, idOf(version));
      expect(found && versionOf(found)).toBe(versionOf(version));
    }
  });

  test.each([
    ['a new version', () => add(), true],
    ['its deletion', () => writer.deleteKey(name, 1, newChange()), false],
  ])('%s is seen at once', async (_, act, isThere) => {
    const first = await add();
    expect(await current()).toBe(versionOf(first));
    expect(await cached.findKey(name, idOf(first))).toBeDefined();
    const after = await act();
    expect(await current()).toBe(isThere ? versionOf(after as KeyVersion) : undefined);
    expect((await cached.findKey(name, idOf(first))) !== undefined).toBe(isThere);
  });

  test('a version that is disabled is seen disabled', async () => {
    await add();
    await cached.findKey(name);
    await writer.updateVersion(
      name,
      undefined,
      {
        reseal: asItIs,
        apply: (current) => ({
          ...current,
          attributes: { ...current.attributes, enabled: false },
        }),
      },
      newChange(),
    );
    expect((await cached.findKey(name))?.attributes.enabled).toBe(false);
  });

  test('what is missing is looked for again each time', async () => {
    expect(await current()).toBeUndefined();
    const made = await add();
    expect(await current()).toBe(versionOf(made));
    expect(await cached.findKey(name, 'f'.repeat(32) as ReturnType<typeof idOf>)).toBeUndefined();
  });

  test('a change of everything empties it', async () => {
    await add();
    await cached.findKey(name);
    feed.publish('reset');
    await cached.findKey(name);
    expect(reads).toBe(2);
  });

  test.each([
    ['another key', { topic: 'key', id: 'other' }],
    ['an assignment', { topic: 'assignment', id: 'payments' }],
    ['a role', { topic: 'role', id: 'payments' }],
  ] as const)('a change of %s leaves it as it is', async (_, change) => {
    await add();
    await cached.findKey(name);
    feed.publish(change);
    await cached.findKey(name);
    expect(reads).toBe(1);
  });

  test.each(['the answering version', 'a version beside one that is remembered'])(
    '%s, when it was read before a change and arrives after it, is not kept',
    async (kind) => {
      const version = await add();
      const id = kind === 'the answering version' ? undefined : idOf(version);
      if (id !== undefined) await cached.findKey(name);
      afterRead = async () => {
        afterRead = () => undefined;
        await writer.updateVersion(
          name,
          undefined,
          { reseal: asItIs, apply: (old) => ({ ...old, tags: { changed: 'yes' } }) },
          newChange(),
        );
      };
      await cached.findKey(name, id);
      expect((await cached.findKey(name, id))?.tags).toEqual({ changed: 'yes' });
    },
  );

  test('of more names than it may hold, one that was not used again gives way', async () => {
    const names = ['a', 'b', 'c', 'd'].map((text) => parseKeyName(text));
    for (const each of names) await add(each);
    const [a, b, c, d] = names as [typeof name, typeof name, typeof name, typeof name];
    for (const each of [a, b, c, a, d]) await cached.findKey(each);
    expect(reads).toBe(4);
    for (const each of [a, c, d]) await cached.findKey(each);
    expect(reads).toBe(4);
    await cached.findKey(b);
    expect(reads).toBe(5);
  });

  test('versions of one name count as well, and so does what a caller can make large', async () => {
    const versions = [await add(), await add(), await add(), await add()];
    const other = parseKeyName('other');
    await add(other);
    await cached.findKey(other);
    for (const version of versions.slice(0, 3)) await cached.findKey(name, idOf(version));
    const before = reads;
    await cached.findKey(other);
    expect(reads).toBe(before + 1);
    const large = parseKeyName('large');
    const tags = Object.fromEntries(
      Array.from({ length: 15 }, (_, index) => [`${index}`, 'x'.repeat(256)]),
    );
    await writer.insertVersion({ ...newVersion(poolId, large), tags }, newChange());
    for (let turn = 0; turn < 2; turn += 1) await cached.findKey(large);
    expect(reads).toBe(before + 3);
  });
});

test('while the feed is cut off every read goes to the store, and nothing is kept', async () => {
  await add();
  await cached.findKey(name);
  feed.coherent = false;
  for (let turn = 0; turn < 3; turn += 1) await cached.findKey(name);
  expect(reads).toBe(4);
  const unheard = newVersion(poolId, name);
  await createKeyWriter(processOf(db, { id: poolId })).insertVersion(unheard, newChange());
  expect(await current()).toBe(versionOf(unheard));
});

test.each([0, -1, 1.5, Number.NaN])('a cache of %d bytes is refused', (limit) => {
  expect(() => cacheKeys(cached, feed, limit)).toThrow(RangeError);
});
