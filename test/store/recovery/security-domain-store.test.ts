import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, describe, expect, test } from '@jest/globals';
import type { KeyVersionId, VerifiedMaterial } from '../../../src/core/keys/key.ts';
import { packBytes } from '../../../src/core/keys/packed-bytes.ts';
import { BACKUP_KEYS } from '../../../src/core/recovery/root-keys/backup-keys.ts';
import { TRANSFER_KEY } from '../../../src/core/recovery/security-domain/transfer-key.ts';
import { createAuditWriter } from '../../../src/store/audit/audit-store.ts';
import { createKeyWriter } from '../../../src/store/keys/key-writer.ts';
import { endorsementOf } from '../../support/endorsement.ts';
import {
  activatePool,
  readPoolState,
  settleActivation,
} from '../../../src/store/pool/activation-store.ts';
import { findPool, type Pool } from '../../../src/store/pool/pool-store.ts';
import { createExclusively } from '../../../src/store/recovery/recovery-lock.ts';
import { makeGenerationCurrent } from '../../../src/store/recovery/root-keys/current-generation.ts';
import { createRootKeyStore } from '../../../src/store/recovery/root-keys/root-key-store.ts';
import { createPendingGenerationStore } from '../../../src/store/recovery/root-keys/pending-generation-store.ts';
import { createSecurityDomainStore } from '../../../src/store/recovery/security-domain/security-domain-store.ts';
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

const newId = () => randomBytes(16).toString('hex') as KeyVersionId;
const sealedBy = (rootGeneration: number) => ({
  rootGeneration,
  blob: packBytes(randomBytes(40)),
  macBlob: packBytes(randomBytes(40)),
  seal: packBytes(randomBytes(32)),
});

const backupKeys = (poolId: string, generation: number) =>
  ({
    identity: { ...BACKUP_KEYS.identity, pool: poolId, version: newId() },
    spec: BACKUP_KEYS.spec,
    sealed: sealedBy(generation),
  }) as unknown as VerifiedMaterial;

const transferKey = (poolId: string, expiresAt: Date) => {
  const { rootGeneration, blob, seal } = sealedBy(1);
  return {
    material: {
      identity: { ...TRANSFER_KEY.identity, pool: poolId, version: newId() },
      spec: { keyType: 'RSA-HSM', bits: 4096, publicExponent: 65537 },
      publicKey: { keyType: 'RSA-HSM', n: randomBytes(512), e: Buffer.from([1, 0, 1]) },
      sealed: { rootGeneration, blob, seal },
    } as unknown as VerifiedMaterial,
    certificate: randomBytes(100),
    expiresAt,
  };
};
const LATER = new Date(Date.now() + 3_600_000);
const CUSTODIANS = { required: 2, custodians: ['one', 'two', 'three'] };

async function openPool(overrides: Partial<Pool> = {}) {
  const pool = await makePool(db, { activation: 'none', ...overrides });
  const context = processOf(db, pool);
  const pendings = createPendingGenerationStore(context);
  const domains = createSecurityDomainStore(context);
  const store = {
    ...domains,
    /** As where no other replica is waited for. */
    async recordCurrent(
      exported: Parameters<typeof domains.recordDownload>[0],
      change = newChange(),
    ) {
      await domains.recordDownload(exported, CUSTODIANS, newChange());
      const pending = await pendings.find();
      if (pending === undefined) throw new TypeError('it is pending');
      expect(await pendings.makeCurrent(pending, change)).toBe(true);
    },
  };
  const domain = () => ({
    poolId: randomUUID(),
    generation: 4,
    rootCheck: randomBytes(32),
    backupKeys: [],
  });
  return { pool, context, store, pendings, domain, now: () => findPool(db, pool.name) };
}

describe('a download', () => {
  test('leaves its root keys pending, which then become current, its backup keys the newest, and the pool active, at once', async () => {
    const { pool, context, store, pendings, now } = await openPool();
    expect(await readPoolState(context)).toMatchObject({ isActive: false, isRestoring: false });
    expect(await store.findDownload()).toBeUndefined();
    const rootCheck = randomBytes(32);
    const pair = backupKeys(pool.id, 2);
    const exported = {
      ...{ after: 1, generation: 2, rootCheck, backupKeys: pair },
      endorsement: endorsementOf(1),
    };
    await store.recordDownload(exported, CUSTODIANS, newChange('SecurityDomainBackup'));
    expect(await now()).toMatchObject({ rootGeneration: 1, activation: 'none' });
    expect(await store.findDownload()).toMatchObject({ generation: 2, ...CUSTODIANS });
    expect((await createRootKeyStore(context).readState()).pending).toMatchObject({
      ...{ number: 2, awaited: [] },
    });
    const pending = await pendings.find();
    if (pending === undefined) throw new TypeError('it is pending');
    expect(pending).toMatchObject({ after: 1, generation: 2, backupKeys: pair });
    expect(pending.endorsement).toEqual(endorsementOf(1));
    expect(await pendings.makeCurrent(pending, newChange('RootKeysRotate'))).toBe(true);
    expect(await pendings.find()).toBeUndefined();
    expect(await pendings.makeCurrent(pending, newChange('RootKeysRotate'))).toBe(false);
    expect(await now()).toMatchObject({ rootGeneration: 2, rootCheck, activation: 'domain' });
    expect(await store.findDownload()).toMatchObject({ generation: 2, ...CUSTODIANS });
    expect(await readPoolState(context)).toMatchObject({ isActive: true, isRestoring: false });
    expect(context.published).toEqual([
      { topic: 'root-keys', id: '2' },
      { topic: 'root-keys', id: '2' },
      { topic: 'pool', id: '*' },
    ]);
    const { generations } = await createRootKeyStore(context).readState();
    expect(generations).toMatchObject([
      { number: 1, isCurrent: false, isKept: false },
      { number: 2, isCurrent: true, rows: 1 },
    ]);
    // Newest first.
    const witnessed = (await eventsOf(context)).map((event) =>
      [...new Set(event.witnessed?.map(({ table }) => table))].sort(),
    );
    expect(witnessed).toEqual([
      ['backup_keys', 'pending_root_generation', 'pool', 'root_generation'],
      ['pending_root_generation', 'security_domain_download'],
    ]);
  });

  test('changes nothing where another generation has become current meanwhile', async () => {
    const { context, store, now } = await openPool();
    const exported = {
      after: 2,
      generation: 3,
      rootCheck: randomBytes(32),
      endorsement: endorsementOf(),
    };
    await expect(store.recordDownload(exported, CUSTODIANS, newChange())).rejects.toMatchObject({
      code: 'Conflict',
    });
    expect(await now()).toMatchObject({ rootGeneration: 1, activation: 'none' });
    expect(await eventsOf(context)).toEqual([]);
  });

  test('takes the place of one that is pending, whose root keys are retired', async () => {
    const { context, store, pendings } = await openPool();
    const of = (generation: number, supersedes?: number) => ({
      ...{ after: 1, generation, rootCheck: randomBytes(32), endorsement: endorsementOf(1) },
      ...(supersedes !== undefined && {
        supersedes: { number: supersedes, proof: randomBytes(32) },
      }),
    });
    await store.recordDownload(of(2), CUSTODIANS, newChange());
    const first = await pendings.find();
    await pendings.noteReplicas({ lacking: ['east'], holding: [] });
    // Who hasn't seen it knows nothing of what is in other HSMs.
    const unaware = store.recordDownload(of(3), CUSTODIANS, newChange());
    await expect(unaware).rejects.toMatchObject({ code: 'Conflict' });
    await store.recordDownload(of(3, 2), CUSTODIANS, newChange());
    expect([await pendings.findNumber(), await pendings.listAwaited(60_000)]).toEqual([3, []]);
    if (first === undefined) throw new TypeError('it was pending');
    await expect(pendings.makeCurrent(first, newChange())).rejects.toMatchObject({
      code: 'Conflict',
    });
    const { generations, retired } = await createRootKeyStore(context).readState();
    expect([generations.map(({ number }) => number), retired.map(({ number }) => number)]).toEqual([
      [1],
      [2],
    ]);
  });

  test('waits for replicas that lack its root keys, until they have them or are given up, an hour at most', async () => {
    const { context, pendings } = await openPool();
    await pendings.noteReplicas({ lacking: ['east', 'north', 'west'], holding: [] });
    await pendings.noteReplicas({ lacking: ['north', 'west'], holding: ['east'] });
    await pendings.giveUp(['west', 'nowhere'], newChange('RootKeysGiveUpReplicas'));
    await pendings.noteReplicas({ lacking: ['west'], holding: [] });
    expect(await pendings.listAwaited(3_600_000)).toEqual([
      { name: 'north', isGivenUp: false },
      { name: 'nowhere', isGivenUp: true },
      { name: 'west', isGivenUp: true },
    ]);
    await db
      .updateTable('root_key_awaited')
      .set({ seen_at: new Date(Date.now() - 3_700_000) })
      .where('pool_id', '=', context.poolId)
      .where('replica_name', '=', 'north')
      .execute();
    const names = (await pendings.listAwaited(3_600_000)).map(({ name }) => name);
    expect(names).toEqual(['nowhere', 'west']);
  });

  test('holds up nobody who writes a record of the audit log meanwhile', async () => {
    const { pool, context } = await openPool();
    const writer = createAuditWriter(processOf(otherDb, pool));
    await db.transaction().execute(async (trx) => {
      const generation = { after: 1, number: 2, rootCheck: randomBytes(32), opensBackups: false };
      const made = { ...generation, endorsement: endorsementOf() };
      await makeGenerationCurrent(trx, pool.id, made);
      await writer.write([newChange('Beside').toRecord()]);
    });
    expect((await eventsOf(context)).map(({ operation }) => operation)).toEqual(['Beside']);
  });

  test('keeps older root keys that alone open old backups', async () => {
    const { pool, context, store } = await openPool();
    await db
      .updateTable('root_generation')
      .set({ is_kept: false })
      .where('pool_id', '=', pool.id)
      .execute();
    for (const generation of [2, 3])
      await store.recordCurrent({
        after: generation - 1,
        generation,
        rootCheck: randomBytes(32),
        endorsement: endorsementOf(1),
        ...(generation === 3 && { backupKeys: backupKeys(pool.id, 3) }),
      });
    const { generations } = await createRootKeyStore(context).readState();
    expect(generations.map(({ isKept, opensBackups }) => [isKept, opensBackups])).toEqual([
      [false, false],
      [true, true],
      [false, false],
    ]);
  });
});

describe('an upload', () => {
  test('is found as it was recorded, uses the transfer key up, and activates nothing', async () => {
    const { context, store, domain, now } = await openPool();
    await store.putTransferKey(transferKey(context.poolId, LATER), newChange());
    const of = { ...domain(), proof: randomBytes(32) };
    const pairs = [backupKeys(of.poolId, 4), backupKeys(of.poolId, 4)];
    await store.recordUpload({ ...of, backupKeys: pairs }, newChange());
    expect(await store.findUpload()).toEqual({ ...of, backupKeys: pairs });
    expect(await store.findTransferKey()).toBeUndefined();
    expect(await now()).toMatchObject({ activation: 'none', rootGeneration: 1 });
  });

  test('takes the place of the one before', async () => {
    const { context, store, domain } = await openPool();
    const [first, second] = [domain(), domain()];
    await store.recordUpload({ ...first, backupKeys: [backupKeys(first.poolId, 4)] }, newChange());
    await store.recordUpload(second, newChange());
    expect(await store.findUpload()).toEqual(second);
    expect((await eventsOf(context)).length).toBe(2);
  });

  test('is refused by a pool that holds a key', async () => {
    const { pool, context, store, domain } = await openPool();
    await store.requireNoKeys();
    await createKeyWriter(context).insertVersion(newVersion(pool.id, 'mine'), newChange());
    const refused = { code: 'Conflict', message: expect.stringContaining('holds keys') as unknown };
    await expect(store.requireNoKeys()).rejects.toMatchObject(refused);
    await expect(store.recordUpload(domain(), newChange())).rejects.toMatchObject(refused);
    expect(await store.findUpload()).toBeUndefined();
  });
});

describe('a transfer key', () => {
  test('is found as it was put, and no other takes its place before it expires', async () => {
    const { context, store } = await openPool();
    const [expired, first, second] = [new Date(0), LATER, LATER].map((expiresAt) =>
      transferKey(context.poolId, expiresAt),
    );
    if (expired === undefined || first === undefined || second === undefined) throw new TypeError();
    expect(await store.putTransferKey(expired, newChange())).toBe(true);
    expect(await store.putTransferKey(first, newChange())).toBe(true);
    expect(await store.putTransferKey(second, newChange())).toBe(false);
    expect(await store.findTransferKey()).toEqual(first);
  });

  test('is wrapped anew with the rest when root keys change', async () => {
    const { context, store } = await openPool();
    const key = transferKey(context.poolId, LATER);
    await store.putTransferKey(key, newChange());
    const rootKeys = createRootKeyStore(context);
    await rootKeys.makeCurrent(
      {
        after: 1,
        number: 2,
        rootCheck: randomBytes(32),
        opensBackups: false,
        endorsement: endorsementOf(1),
      },
      newChange(),
    );
    const [before] = await rootKeys.listSealed('transfer_key', undefined, 10);
    expect(before).toEqual(key.material);
    expect(await rootKeys.isUnfinished()).toBe(true);
    const { rootGeneration, blob, seal } = sealedBy(2);
    const after = { ...key.material, sealed: { rootGeneration, blob, seal } };
    expect(await rootKeys.replaceSealed('transfer_key', [{ before: key.material, after }])).toBe(1);
    expect((await store.findTransferKey())?.material).toEqual(after);
  });
});

describe('activation', () => {
  const by = (activation: Pool['activation']) => openPool({ activation });

  test.each([[undefined], ['none']] as const)('is done once, of a pool with %s', async (before) => {
    const { context, now } = await by(before);
    expect(await activatePool(context, 'hsm', newChange())).toBe(true);
    expect(await activatePool(context, 'embedded', newChange())).toBe(false);
    expect(await now()).toMatchObject({ activation: 'hsm' });
    expect(context.published).toEqual([{ topic: 'pool', id: '*' }]);
  });

  test('of a pool from before there was such a thing waits for a domain if it holds no key', async () => {
    const { context, now } = await by(undefined);
    expect((await readPoolState(context)).isActive).toBe(true);
    await settleActivation(context, newChange());
    await settleActivation(context, newChange());
    expect((await readPoolState(context)).isActive).toBe(false);
    expect(await now()).toMatchObject({ activation: 'none' });
    expect(await eventsOf(context)).toHaveLength(1);
  });

  test('of one that holds keys is not taken away', async () => {
    const { pool, context } = await by(undefined);
    await createKeyWriter(context).insertVersion(newVersion(pool.id, 'mine'), newChange());
    await settleActivation(context, newChange());
    expect((await readPoolState(context)).isActive).toBe(true);
  });
});

test('one backup, restore or ceremony of a pool is under way at a time, over all processes', async () => {
  const { pool } = await openPool();
  const { pool: another } = await openPool();
  const exclusively = createExclusively(processOf(db, pool));
  const elsewhere = createExclusively(processOf(otherDb, pool));
  await exclusively(async () => {
    await expect(elsewhere(() => Promise.resolve())).rejects.toMatchObject({ code: 'Conflict' });
    await createExclusively(processOf(otherDb, another))(() => Promise.resolve());
  });
  expect(await elsewhere(() => Promise.resolve('free again'))).toBe('free again');
});
