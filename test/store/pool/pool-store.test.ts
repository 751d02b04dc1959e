import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { type KeyMaterial, parseKeyName, parseKeyVersionId } from '../../../src/core/keys/key.ts';
import { packBytes } from '../../../src/core/keys/packed-bytes.ts';
import type { TokenSigningKey } from '../../../src/core/directory/ports.ts';
import {
  findPool,
  insertPool,
  protectFromPurge,
  withPoolLock,
} from '../../../src/store/pool/pool-store.ts';
import { createSigningKeyStore } from '../../../src/store/directory/token-signing-key-store.ts';
import {
  eventsOf,
  makePool,
  newChange,
  newVersion,
  openStoreDatabase,
  processOf,
} from '../../support/store.ts';

const database = await openStoreDatabase();
const { db, otherDb } = database;
afterAll(() => database.close());

describe('a pool', () => {
  test('is found by its name, as it was made', async () => {
    const pool = await makePool(db, { softDeleteDays: 7, purgeProtection: true });
    const found = await findPool(otherDb, pool.name);
    expect({ ...found, rootCheck: undefined }).toEqual({ ...pool, rootCheck: undefined });
    expect(Buffer.from(found?.rootCheck ?? []).equals(pool.rootCheck)).toBe(true);
    await expect(findPool(db, `${pool.name}x`)).resolves.toBeUndefined();
  });

  test('has a name that no other pool gets', async () => {
    const pool = await makePool(db);
    await expect(insertPool(db, { ...pool, id: randomUUID() })).rejects.toMatchObject({
      code: '23505',
    });
  });

  test('whose keys are protected from purge stays so, and the others stay as they are', async () => {
    const [pool, other] = [await makePool(db), await makePool(db)];
    await protectFromPurge(processOf(db, pool), newChange());
    await protectFromPurge(processOf(db, pool), newChange());
    await expect(findPool(db, pool.name)).resolves.toMatchObject({ purgeProtection: true });
    await expect(findPool(db, other.name)).resolves.toMatchObject({ purgeProtection: false });
  });
});

describe('the lock of a pool', () => {
  test('lets one process at a time make what a pool has once', async () => {
    const name = randomUUID();
    let made = 0;
    let inside = 0;
    const ensure = (connections: typeof db) =>
      withPoolLock(connections, name, async () => {
        expect((inside += 1)).toBe(1);
        const isMissing = made === 0;
        await delay(20);
        if (isMissing) made += 1;
        inside -= 1;
      });
    await Promise.all([db, otherDb, db, otherDb, db].map(ensure));
    expect(made).toBe(1);
  });

  test('is given back when the work fails, with the work’s own error', async () => {
    const name = randomUUID();
    const failure = new Error('the token is away');
    await expect(withPoolLock(db, name, () => Promise.reject(failure))).rejects.toBe(failure);
    await expect(withPoolLock(otherDb, name, () => Promise.resolve('next'))).resolves.toBe('next');
  });

  test('is waited for no longer than its limit, and a sentence says for what', async () => {
    const name = randomUUID();
    await withPoolLock(db, name, async () => {
      const attempt = withPoolLock(otherDb, name, () => Promise.resolve('both'), 300);
      await expect(attempt).rejects.toMatchObject({
        name: 'OperatorError',
        message: expect.stringMatching(`setting up the pool "${name}" for 0.3 s`),
      });
    });
    await expect(withPoolLock(otherDb, name, () => Promise.resolve('next'))).resolves.toBe('next');
  });

  test('does not hold up another pool', async () => {
    await withPoolLock(db, randomUUID(), async () => {
      await expect(
        withPoolLock(otherDb, randomUUID(), () => Promise.resolve('other')),
      ).resolves.toBe('other');
    });
  });
});

describe('signing keys', () => {
  function signingKey(pool: string): TokenSigningKey {
    const material: KeyMaterial = {
      identity: {
        pool,
        name: parseKeyName('directory-signing'),
        version: parseKeyVersionId(randomBytes(16).toString('hex')),
        operations: ['sign', 'verify'],
        exportable: false,
        origin: 'generated',
      },
      spec: { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65_537 },
      publicKey: { keyType: 'RSA-HSM', n: randomBytes(256), e: Buffer.from([1, 0, 1]) },
      sealed: {
        rootGeneration: 1,
        blob: packBytes(randomBytes(1_200)),
        seal: packBytes(randomBytes(32)),
      },
    };
    return { material, createdAt: new Date() };
  }
  const idOf = (key?: TokenSigningKey) => key?.material.identity.version;

  test('come back as they were written, the newest first, two at most', async () => {
    const pool = await makePool(db);
    const store = createSigningKeyStore(processOf(db, pool));
    await expect(store.listSigningKeys()).resolves.toEqual([]);
    const keys = [signingKey(pool.id), signingKey(pool.id), signingKey(pool.id)];
    for (const [index, key] of keys.entries()) {
      const after = idOf(keys[index - 1]);
      await expect(store.insertSigningKey(key, after, newChange())).resolves.toBe(true);
    }
    await expect(store.listSigningKeys()).resolves.toEqual([keys[2], keys[1]]);
    const { rows } = await sql`select 1 from signing_key where pool_id = ${pool.id}`.execute(db);
    expect(rows).toHaveLength(2);
  });

  test('are put after one another once, however many try, with one record', async () => {
    const pool = await makePool(db);
    const store = createSigningKeyStore(processOf(db, pool));
    const first = signingKey(pool.id);
    await store.insertSigningKey(first, undefined, newChange());
    const added = await Promise.all(
      Array.from({ length: 4 }, () =>
        createSigningKeyStore(processOf(db, pool)).insertSigningKey(
          signingKey(pool.id),
          idOf(first),
          newChange('SigningKeyRotateScheduled'),
        ),
      ),
    );
    expect(added.filter(Boolean)).toHaveLength(1);
    await expect(store.listSigningKeys()).resolves.toHaveLength(2);
    const events = await eventsOf(processOf(db, pool));
    expect(
      events.filter(({ operation }) => operation === 'SigningKeyRotateScheduled'),
    ).toHaveLength(1);
  });

  test('of one pool are not those of another', async () => {
    const [pool, other] = [await makePool(db), await makePool(db)];
    await createSigningKeyStore(processOf(db, pool)).insertSigningKey(
      signingKey(pool.id),
      undefined,
      newChange(),
    );
    await expect(createSigningKeyStore(processOf(db, other)).listSigningKeys()).resolves.toEqual(
      [],
    );
  });

  test('are RSA keys, and no others', async () => {
    const pool = await makePool(db);
    const store = createSigningKeyStore(processOf(db, pool));
    const { material } = newVersion(pool.id, 'ec');
    const key = { material, createdAt: new Date() };
    await expect(store.insertSigningKey(key, undefined, newChange())).rejects.toThrow(TypeError);
    await expect(store.listSigningKeys()).resolves.toEqual([]);
  });
});
