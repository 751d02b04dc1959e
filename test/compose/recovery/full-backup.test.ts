import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createFolderStorage } from '../../../src/backup/storage/folder-storage.ts';
import type { KeyMaterial } from '../../../src/core/keys/key.ts';
import { parseKeyName } from '../../../src/core/keys/key.ts';
import { changing } from '../../../src/store/database.ts';
import { readPoolState } from '../../../src/store/pool/activation-store.ts';
import { ARCHIVED_TABLES } from '../../../src/store/recovery/full-backup/archive-tables.ts';
import {
  newChange,
  openStoreDatabase,
  type StoreDatabase,
  withClient,
} from '../../support/store.ts';
import { until } from '../../support/until.ts';
import { newName, openWholePool, reopenPool, type WholePool } from '../../support/whole-pool.ts';

let database: StoreDatabase;
let folder: string;
beforeAll(async () => {
  database = await openStoreDatabase();
  folder = await mkdtemp(join(tmpdir(), 'strongroom-backups-'));
});
afterAll(async () => {
  await database.close();
  await rm(folder, { recursive: true });
});

const storage = () => createFolderStorage(folder);
const REPLACED = ARCHIVED_TABLES.filter(({ onRestore }) => onRestore === 'replaced').map(
  ({ name }) => name,
);
const DIGEST = Buffer.alloc(32, 3);
const OPTIONS = { withAuditRecords: false };

describe('a full backup of a pool that goes on', () => {
  let pool: WholePool;
  let wrapping: KeyMaterial;
  let signing: KeyMaterial;
  let deleted: KeyMaterial;
  let wrapped: Uint8Array;
  let signature: Uint8Array;
  let before: Record<string, readonly string[]>;
  const backup = 'backup-1';
  const unwrapped = async () =>
    Buffer.from(
      await pool.hsm.decrypt(await pool.keyOf(wrapping), 'A256KW', { value: wrapped }, {}),
    );

  beforeAll(async () => {
    pool = await openWholePool(database, newName());
    [wrapping] = (await pool.addKey('Wrapping', { keyType: 'oct-HSM', bits: 256 })) as [
      KeyMaterial,
    ];
    [, signing] = (await pool.addKey('signing', { keyType: 'EC-HSM', curve: 'P-256' }, 2)) as [
      KeyMaterial,
      KeyMaterial,
    ];
    [deleted] = (await pool.addKey('deleted', { keyType: 'EC-HSM', curve: 'P-384' })) as [
      KeyMaterial,
    ];
    await pool.addOthers();
    await pool.change(
      `update key set deleted_at = 1700000000, purge_at = 1700000001 where pool_id = $pool and name_key = 'deleted'`,
    );
    ({ value: wrapped } = await pool.hsm.encrypt(wrapping, 'A256KW', DIGEST, {}));
    signature = await pool.hsm.sign(signing, 'ES256', DIGEST);
    before = await pool.dump(REPLACED);
    await pool.backups().create(storage(), backup, OPTIONS, newChange('FullBackup'));
  });
  afterAll(() => pool.hsm.close());

  test('holds a row of every table of the pool', () => {
    expect(Object.entries(before).filter(([, rows]) => rows.length === 0)).toEqual([]);
  });

  test('is verified, and says what is in it', async () => {
    const summary = await pool.backups().verify(storage(), backup);
    expect(summary).toMatchObject({ poolId: pool.pool.id, keys: 3, versions: 4 });
  });

  test('is the only one in its folder, and what fails there leaves it as it is', async () => {
    const create = () =>
      pool.backups().create(storage(), 'shared', OPTIONS, newChange('FullBackup'));
    const ends = await Promise.allSettled([create(), create()]);
    expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    await expect(create()).rejects.toMatchObject({ code: 'Conflict' });
    const summary = await pool.backups().verify(storage(), 'shared');
    expect(summary).toMatchObject({ poolId: pool.pool.id, keys: 3 });
    const names = Array.from({ length: 20 }, () => pool.backups().newFolder());
    expect(new Set(names).size).toBe(20);
  });

  test('makes the pool what it was, whatever has come since', async () => {
    await pool.addKey('later', { keyType: 'oct-HSM', bits: 256 });
    await pool.change(
      `delete from key where pool_id = $pool and name_key = 'wrapping'`,
      `update key_version set enabled = false where pool_id = $pool and name_key = 'signing'`,
      `update gcm_use set reserved = 9 where pool_id = $pool`,
      `delete from role_assignment where pool_id = $pool`,
      `insert into setting values ($pool, 'Later', 'true')`,
    );
    await pool.restore(storage(), backup);
    expect(await pool.dump(REPLACED)).toEqual(before);
    const [count] = (await pool.dump(['gcm_use']))['gcm_use'] ?? [];
    expect(JSON.parse(count ?? '{}')).toMatchObject({ reserved: 9 });
  });

  test('gives back keys that open what they closed', async () => {
    expect(await pool.findKey(deleted)).toBeUndefined();
    expect(await unwrapped()).toEqual(DIGEST);
    expect(await pool.hsm.verify(await pool.keyOf(signing), 'ES256', DIGEST, signature)).toBe(true);
  });

  test('leaves an audit log that verifies across, with every row', async () => {
    await pool.sign();
    expect(await pool.verify()).toMatchObject({ verified: true, adopted: 0, unsigned: 0 });
  });

  test('gives back one key that was purged, and no key that is there', async () => {
    const backups = pool.backups();
    const restore = (name: string) =>
      backups.restoreKey(storage(), backup, parseKeyName(name), {}, newChange('KeyRestore'));
    await pool.change(`delete from key where pool_id = $pool and name_key = 'wrapping'`);
    await restore('wrapping');
    expect(await unwrapped()).toEqual(DIGEST);
    await expect(restore('wrapping')).rejects.toMatchObject({ code: 'KeyExists' });
    await expect(restore('deleted')).rejects.toMatchObject({ code: 'KeyIsDeleted' });
    await expect(restore('unknown')).rejects.toMatchObject({ code: 'KeyNotFound' });
    await pool.sign();
    expect(await pool.verify()).toMatchObject({ verified: true });
  });

  /** The storage, with something that happens while the data is read. */
  function storageWith(meanwhile: () => Promise<unknown>) {
    const real = storage();
    async function* read(path: string) {
      if (path.endsWith('/data')) await meanwhile();
      yield* real.read(path);
    }
    return { ...real, read };
  }

  const isClosed = async () => (await readPoolState(pool.context)).isRestoring;

  test('does not take the place of a pool whose restore was taken for dead', async () => {
    const present = await pool.dump(['key']);
    const restored = pool.restore(
      storageWith(async () => {
        const failure = { code: 'Interrupted', message: 'It is dead.' };
        await pool.jobs.endAbandoned(failure, newChange('RecoveryJobInterrupted'));
        await pool.addKey('acknowledged', { keyType: 'oct-HSM', bits: 256 });
      }),
      backup,
    );
    await expect(restored).rejects.toMatchObject({ code: 'Conflict' });
    expect((await pool.dump(['key']))['key']).toHaveLength((present['key'] ?? []).length + 1);
    await pool.sign();
    expect(await pool.verify()).toMatchObject({ verified: true });
  });

  test('is read to its end before the pool is closed, and leaves it open where it is no backup', async () => {
    let closed: boolean | undefined;
    const meanwhile = async () => {
      closed = await isClosed();
    };
    await pool.restore(storageWith(meanwhile), backup);
    expect([closed, await isClosed()]).toEqual([false, false]);
    await expect(pool.restore(storage(), 'nothing')).rejects.toMatchObject({
      code: 'BackupNotFound',
    });
    expect(await isClosed()).toBe(false);
  });

  test('lets nobody write who has known the pool before', async () => {
    const { context, jobs } = pool;
    const known = { ...context };
    const write = () =>
      changing(
        known,
        newChange('Change'),
        () => [],
        async (trx) => {
          await sql`insert into setting values (${context.poolId}, ${newName()}, 'true')`.execute(
            trx,
          );
          return true;
        },
      );
    await write();
    const before = (await pool.dump(['setting']))['setting'];
    const id = '1'.repeat(32);
    const asked = { place: undefined, folder: backup, keyName: undefined, principalId: undefined };
    await jobs.begin({ id, kind: 'restore', askedBy: 'operator', ...asked }, newChange());
    await write();
    await jobs.closePool(id, newChange());
    await expect(write()).rejects.toMatchObject({ code: 'PoolRestoring' });
    const failure = { code: 'Interrupted', message: 'It is dead.' };
    expect(await jobs.end(id, { failure }, newChange())).toBe(true);
    await write();
    expect((await pool.dump(['setting']))['setting']).toHaveLength((before ?? []).length + 2);
    await pool.restore(storage(), backup);
    await expect(write()).rejects.toMatchObject({ code: 'PoolRestoring' });
    expect(await readPoolState(known)).toMatchObject({ isRestoring: true });
    expect(await isClosed()).toBe(false);
  });

  test('a job that is called failed while its restore takes the place has failed, and nothing is restored', async () => {
    const { jobs } = pool;
    // It waits for the row of a key that somebody holds, until somebody else has called it dead.
    await withClient(database.ownerUrl, async (owner) => {
      await pool.addKey('held', { keyType: 'oct-HSM', bits: 256 });
      await owner.query('begin');
      await owner.query(`select from key where pool_id = $1 and name_key = 'held' for update`, [
        pool.pool.id,
      ]);
      const restored = pool.restore(storage(), backup);
      await until(isClosed);
      const failure = { code: 'Interrupted', message: 'It is dead.' };
      await jobs.endAbandoned(failure, newChange('RecoveryJobInterrupted'));
      await owner.query('rollback');
      await expect(restored).rejects.toMatchObject({ code: 'Conflict' });
    });
    expect((await pool.dump(['key']))['key']?.some((row) => row.includes('"held"'))).toBe(true);
    expect(await isClosed()).toBe(false);
  });

  test('is refused by another pool, and changes nothing there', async () => {
    const other = await openWholePool(database, newName());
    try {
      await expect(other.restore(storage(), backup)).rejects.toMatchObject({
        code: 'MalformedBackupBlob',
      });
    } finally {
      await other.hsm.close();
    }
  });
});

test('every table of the schema is backed up, or named as left out', async () => {
  const { LEFT_OUT } = await import('../../../src/store/recovery/full-backup/archive-tables.ts');
  const tables = await withClient(database.ownerUrl, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `select relname as name from pg_class where relnamespace = 'public'::regnamespace
       and relkind in ('r', 'p') and not relispartition`,
    );
    return rows.map(({ name }) => name).sort();
  });
  const named = [...ARCHIVED_TABLES.map(({ name }) => name), ...Object.keys(LEFT_OUT)];
  expect(named.sort()).toEqual(tables);
});

describe.each([true, false])(
  'a fresh pool with the security domain of another one (records of the audit log: %s)',
  (withAuditRecords) => {
    let original: WholePool;
    let fresh: WholePool;
    let home: StoreDatabase;
    let elsewhere: StoreDatabase;
    let signing: KeyMaterial;
    let signature: Uint8Array;
    let before: Record<string, readonly string[]>;
    const backup = `taken-${withAuditRecords}`;
    const restore = (pool: WholePool) => pool.restore(storage(), backup);

    beforeAll(async () => {
      // Each the first pool of its database: what is counted over all pools has the same numbers in both.
      home = await openStoreDatabase();
      original = await openWholePool(home, newName());
      [signing] = (await original.addKey('signing', { keyType: 'EC-HSM', curve: 'P-256' })) as [
        KeyMaterial,
      ];
      signature = await original.hsm.sign(signing, 'ES256', DIGEST);
      await original.addOthers();
      before = await original.dump(REPLACED);
      await original
        .backups()
        .create(storage(), backup, { withAuditRecords }, newChange('FullBackup'));
      elsewhere = await openStoreDatabase();
      fresh = await openWholePool(elsewhere, newName());
      await fresh.takeDomainOf(original);
    });
    afterAll(async () => {
      await original.hsm.close();
      await fresh.hsm.close();
      await elsewhere.close();
      await home.close();
    });

    test('takes no place while it holds keys', async () => {
      await fresh.addKey('own', { keyType: 'EC-HSM', curve: 'P-256' });
      await expect(restore(fresh)).rejects.toMatchObject({ code: 'Conflict' });
      await fresh.change(`delete from key where pool_id = $pool`);
      await fresh.sign();
    });

    test('becomes that pool, under its own name', async () => {
      await restore(fresh);
      const taken = await reopenPool(elsewhere, fresh.pool.name, fresh.hsm);
      expect(taken.pool).toMatchObject({
        id: original.pool.id,
        tenantId: original.pool.tenantId,
        activation: 'domain',
      });
      expect(await taken.dump(REPLACED)).toEqual(before);
      expect(await taken.hsm.verify(await taken.keyOf(signing), 'ES256', DIGEST, signature)).toBe(
        true,
      );
      await taken.addKey('later', { keyType: 'oct-HSM', bits: 256 });
      await taken.sign();
      const report = await taken.verify();
      expect(report).toMatchObject({ verified: true, unsigned: 0 });
      expect(report.removedBefore === undefined).toBe(withAuditRecords);
    });

    test('keeps the audit log of the time before', async () => {
      const { rows } = await withClient(elsewhere.ownerUrl, (client) =>
        client.query<{ name: string }>('select name from pool where id = $1', [fresh.pool.id]),
      );
      const name = rows[0]?.name ?? '';
      expect(name).toMatch(new RegExp(`^${fresh.pool.name}-before-restore-\\d{14}$`));
      // As every process does when it ends.
      await fresh.sign();
      const left = await reopenPool(elsewhere, name, fresh.hsm);
      const report = await left.verify();
      expect(report).toMatchObject({ verified: true, unsigned: 0 });
    });
  },
);
