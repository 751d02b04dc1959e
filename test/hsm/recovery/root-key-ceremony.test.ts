import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { Session } from 'graphene-pk11';
import { createEnvelopes } from '../../../src/backup/security-domain/envelopes.ts';
import type { KeyMaterial, VerifiedMaterial } from '../../../src/core/keys/key.ts';
import { newVersionId } from '../../../src/core/keys/new-version-id.ts';
import { BACKUP_KEYS } from '../../../src/core/recovery/root-keys/backup-keys.ts';
import {
  createClearCeremony,
  importEntries,
} from '../../../src/core/recovery/root-keys/clear-ceremony.ts';
import {
  readEntries,
  requireWhole,
} from '../../../src/core/recovery/root-keys/root-key-entries.ts';
import { createRootKeyCeremony } from '../../../src/core/recovery/root-keys/root-key-ceremony.ts';
import type { DomainEntry } from '../../../src/core/recovery/security-domain/domain-entries.ts';
import * as calls from '../../../src/hsm/module/calls.ts';
import { openToken } from '../../../src/hsm/module/token.ts';
import type { Pkcs11Hsm } from '../../../src/hsm/pkcs11-hsm.ts';
import { azureDomain } from '../../support/azure-domain.ts';
import { openTestHsm, testIdentity } from '../../support/hsm.ts';
import { testToken } from '../../support/softhsm.ts';

const DIGEST = randomBytes(32);
const ALL = 100_000;

let hsm: Pkcs11Hsm;
let poolId: string;
let session: Session;
let ceremony: ReturnType<typeof ceremonyOf>;
/** As the pool's record has them. */
let recorded: {
  generation: number;
  pairs: KeyMaterial[];
  isUnfinished: boolean;
  pending?: number;
};

beforeAll(() => {
  ({ hsm } = openTestHsm());
  session = openToken(testToken()).loginSession;
});
beforeEach(async () => {
  poolId = randomUUID();
  hsm.createRootKeys(poolId, 1);
  hsm.openBackupKeys([]);
  recorded = { generation: 1, pairs: [await newPair()], isUnfinished: false };
  hsm.openBackupKeys(recorded.pairs);
  ceremony = ceremonyOf(poolId);
});
afterEach(() => {
  for (const generation of [1, 2, 3]) destroy(generation);
});
afterAll(() => hsm.close());

/** To and from entries: how these are sealed to custodians, and opened again, is another test's. */
function ceremonyOf(pool: string, on = hsm, uploaded?: string) {
  let sealed: readonly DomainEntry[] = [];
  let opened: readonly DomainEntry[] = [];
  const clear = createClearCeremony({
    hsm: on,
    poolId: pool,
    randomBytes,
    envelopes: {
      ...createEnvelopes(),
      sealTo: () => Promise.resolve(''),
      seal(_key, tag, plaintext) {
        sealed = [...sealed, { tag, plaintext: Buffer.from(plaintext) }];
        return Promise.resolve('');
      },
    },
  });
  const made = createRootKeyCeremony({
    hsm: on,
    clear: {
      ...clear,
      openBlob: (_request, use) => {
        const { poolId: of, generation } = readEntries(opened).keys;
        return use({ poolId: of, generation, importRootKeys: () => importEntries(on, opened) });
      },
    },
    store: {
      currentGeneration: () => Promise.resolve(recorded.generation),
      hasPool: (id) => Promise.resolve(id === pool),
      isUnfinished: () => Promise.resolve(recorded.isUnfinished),
      listOpeningBackups: () => Promise.resolve([]),
      listVouchers: () => Promise.resolve([]),
    },
    findPending: () => Promise.resolve(recorded.pending),
    backupKeys: { list: () => Promise.resolve(recorded.pairs) },
    poolId: pool,
    findUploadedPool: () => Promise.resolve(uploaded),
    newVersionId,
    alone: (work) => work(),
  });
  return {
    ...made,
    async exportRootKeys() {
      sealed = [];
      const custodians = azureDomain.custodians.map(({ certificate }) => certificate);
      return { ...(await made.exportRootKeys({ custodians, required: 2 })), entries: sealed };
    },
    async importRootKeys(entries: readonly DomainEntry[]) {
      opened = entries;
      const blob = { wrappedMaster: { thumbprint: '', envelope: '' }, entries: [] };
      const [transferKey] = recorded.pairs;
      if (transferKey === undefined) throw new TypeError('there is one');
      return made.importRootKeys({ blob, thumbprint: '', transferKey });
    },
  };
}
const ANOTHER = '00000000-0000-0000-0000-000000000000';
/** For another pool, which takes the domain of this one into an HSM that has held nothing of it. */
const importing = (entries: readonly DomainEntry[]) => {
  const listRootGenerations = () => Promise.resolve([]);
  const other: unknown = Object.create(hsm, {
    listRootGenerations: { value: listRootGenerations },
  });
  return ceremonyOf(ANOTHER, other as Pkcs11Hsm).importRootKeys(entries);
};

const newPair = () =>
  hsm.generateKey(
    { ...BACKUP_KEYS.identity, pool: poolId, version: newVersionId() },
    BACKUP_KEYS.spec,
  );
const newKey = (name: string) =>
  hsm.generateKey(testIdentity(poolId, name), { keyType: 'oct-HSM', bits: 256 });
const use = async (key: KeyMaterial) =>
  Buffer.from(await hsm.sign(key, 'HS256', DIGEST)).toString('hex');

/** Exported, and everything is wrapped by it: what a download comes to. */
async function download(...keys: VerifiedMaterial[]) {
  const exported = await ceremony.exportRootKeys();
  const { generation, backupKeys } = exported;
  if (backupKeys === undefined) throw new TypeError('SoftHSM2 wraps HMAC keys');
  expect(await hsm.useRootKeys(generation, exported.rootCheck)).toBe(true);
  const moved = await Promise.all(keys.map((key) => hsm.rewrap(key, 'current')));
  const pairs = await Promise.all(recorded.pairs.map((pair) => hsm.rewrap(pair, 'current')));
  recorded = { ...recorded, generation, pairs: [...pairs, backupKeys] };
  hsm.openBackupKeys(recorded.pairs);
  return { exported, moved };
}

const ALL_PARTS = ['root-wrap', 'root-seal', 'root-used', 'root-brought'];

/** The token's root keys of a pool and generation are gone, with what it remembers of them, as on another HSM. */
function destroy(generation: number, parts = ALL_PARTS): void {
  for (const part of parts)
    for (const key of find(part, generation)) calls.destroyObject(session, key);
}

function find(part: string, generation: number) {
  return calls.findObjects(session, { id: Buffer.from(`${poolId}:${part}:${generation}`) }, ALL);
}

const count = (generation: number) =>
  ['root-wrap', 'root-seal'].map((part) => find(part, generation).length);

/** Of all objects that there are, on the token and in sessions. */
const countExtractable = () => calls.findObjects(session, { extractable: true }, ALL).length;

const altered = (entries: readonly DomainEntry[], tag: string, change: (bytes: Buffer) => Buffer) =>
  entries.map((entry) =>
    entry.tag === tag ? { tag, plaintext: change(Buffer.from(entry.plaintext)) } : entry,
  );

const flipped = (at: number) => (bytes: Buffer) => {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
};

test('root keys leave wrapped only: what is made of them in the token, and what is left of them anywhere, cannot leave', async () => {
  const exported = await ceremony.exportRootKeys();
  expect([exported.generation, count(2), countExtractable()]).toEqual([2, [1, 1], 0]);
  const [wrap, seal] = ['root-wrap', 'root-seal'].flatMap((part) => find(part, 2));
  const asked = {
    token: null,
    private: null,
    sensitive: null,
    extractable: null,
    modifiable: null,
    encrypt: null,
    decrypt: null,
    sign: null,
    verify: null,
    wrap: null,
    unwrap: null,
    derive: null,
  };
  const common = {
    token: true,
    private: true,
    sensitive: true,
    extractable: false,
    modifiable: false,
    encrypt: false,
    decrypt: false,
    derive: false,
  };
  if (wrap === undefined || seal === undefined) throw new TypeError('they are there');
  expect(calls.readAttributes(session, wrap, asked)).toEqual({
    ...common,
    sign: false,
    verify: false,
    wrap: true,
    unwrap: true,
  });
  expect(calls.readAttributes(session, seal, asked)).toEqual({
    ...common,
    sign: true,
    verify: true,
    wrap: false,
    unwrap: false,
  });
  expect(() => calls.readValue(session, wrap)).toThrow('CKR_ATTRIBUTE_SENSITIVE');

  destroy(2);
  const before = calls.findObjects(session, {}, ALL).length;
  await importing(exported.entries);
  // Beside them, that an upload has brought them.
  expect(calls.findObjects(session, {}, ALL)).toHaveLength(before + 3);
  expect([count(2), countExtractable()]).toEqual([[1, 1], 0]);
  expect(await hsm.listBrought(poolId)).toEqual([2]);
  expect(find('root-seal', 2).map((key) => calls.readAttributes(session, key, asked))).toEqual([
    expect.objectContaining(common),
  ]);
});

test('another HSM opens with them what the pool had and what it made since, and backups of each time', async () => {
  const old = await newKey('old');
  const signature = await use(old);
  const [pair] = hsm.backupPairs;
  const { exported, moved } = await download(old);
  const young = await newKey('young');
  const [, secondPair] = hsm.backupPairs;
  const backups = await Promise.all([
    hsm.rewrap(young, { pair: pair ?? newVersionId() }),
    hsm.rewrap(young, { pair: secondPair ?? newVersionId() }),
  ]);
  const [archiveKey] = [await hsm.archiveKey(secondPair ?? newVersionId())];
  const youngSignature = await use(young);

  destroy(1);
  destroy(2);
  hsm.openRootKeys(poolId, 1);
  const imported = await importing(exported.entries);
  expect(imported).toMatchObject({ poolId, generation: 2 });
  expect(Buffer.from(imported.rootCheck)).toEqual(Buffer.from(exported.rootCheck));
  expect(hsm.openRootKeys(poolId, 2)).toBe(true);
  expect(Buffer.from(await hsm.rootCheck(poolId))).toEqual(Buffer.from(exported.rootCheck));
  for (const key of moved) expect(await use(key)).toBe(signature);
  expect(await use(young)).toBe(youngSignature);
  hsm.openBackupKeys(imported.backupKeys);
  expect(hsm.backupPairs).toEqual([pair, secondPair]);
  for (const [index, backup] of backups.entries()) {
    const restored = await hsm.rewrap(backup, 'current', { pair: hsm.backupPairs[index] });
    expect(await use(restored)).toBe(youngSignature);
  }
  expect(await hsm.archiveKey(secondPair ?? newVersionId())).toEqual(archiveKey);
});

test('an older domain opens nothing that is newer, be it a row or a backup', async () => {
  const first = await download();
  const { exported: second } = await download();
  const young = await newKey('young');
  const pair = hsm.backupPairs.at(-1) ?? newVersionId();
  const backup = await hsm.rewrap(young, { pair });
  for (const generation of [1, 2, 3]) destroy(generation);

  const older = await importing(first.exported.entries);
  expect([hsm.openRootKeys(poolId, 3), hsm.openRootKeys(poolId, 2)]).toEqual([false, true]);
  hsm.openBackupKeys(older.backupKeys);
  await expect(hsm.requireIntact(young)).rejects.toMatchObject({ code: 'HsmUnavailable' });
  expect(hsm.backupPairs).not.toContain(pair);
  for (const known of hsm.backupPairs)
    await expect(hsm.rewrap(backup, 'current', { pair: known })).rejects.toMatchObject({
      code: 'KeyIntegrityViolation',
    });

  await importing(second.entries);
  expect(hsm.openRootKeys(poolId, 3)).toBe(true);
  await hsm.requireIntact(young);
});

test('they are taken a second time, and completed where one of the two is missing', async () => {
  const { entries, rootCheck } = await ceremony.exportRootKeys();
  await importing(entries);
  const objects = () => calls.findObjects(session, { token: true }, ALL).length;
  const before = objects();
  for (const part of ['root-wrap', 'root-seal', undefined]) {
    if (part !== undefined) destroy(2, [part]);
    expect(await importing(entries)).toMatchObject({ generation: 2 });
    expect([count(2), objects()]).toEqual([[1, 1], before]);
  }
  hsm.openRootKeys(poolId, 2);
  expect(Buffer.from(await hsm.rootCheck(poolId))).toEqual(Buffer.from(rootCheck));
});

test('further ones of a pool whose root keys the HSM holds are not let in', async () => {
  const { entries } = await ceremony.exportRootKeys();
  const there = () => ceremonyOf(ANOTHER).importRootKeys(entries);
  expect(await there()).toMatchObject({ generation: 2 });
  destroy(2);
  await expect(there()).rejects.toMatchObject({ code: 'Conflict' });
  expect(count(2)).toEqual([0, 0]);
  // Nor where a domain of the pool was taken beside its own root keys: whoever has opened one could make up others.
  const taken = () => ceremonyOf(ANOTHER, hsm, poolId).importRootKeys(entries);
  await expect(taken()).rejects.toMatchObject({ code: 'Conflict' });
  for (const generation of [1, 2]) destroy(generation);
  expect(await there()).toMatchObject({ generation: 2 });
});

test('another domain takes the place of one that was uploaded, where the HSM held nothing of its pool before', async () => {
  const first = await download();
  const second = await download();
  const third = await ceremony.exportRootKeys();
  for (const generation of [1, 2, 3, 4]) destroy(generation);
  hsm.createRootKeys(randomUUID(), 1);
  const takes = (entries: readonly DomainEntry[], uploaded?: string) =>
    ceremonyOf(ANOTHER, hsm, uploaded).importRootKeys(entries);
  expect(await takes(second.exported.entries)).toMatchObject({ generation: 3 });
  await expect(takes(third.entries)).rejects.toMatchObject({ code: 'Conflict' });
  // Of an upload by mistake, or of somebody's own making, nothing stays beside the right ones.
  expect(await takes(first.exported.entries, poolId)).toMatchObject({ generation: 2 });
  expect(await hsm.listRootGenerations(poolId)).toEqual([2]);
  expect(await takes(third.entries, poolId)).toMatchObject({ generation: 4 });
  expect([await hsm.listRootGenerations(poolId), await hsm.listBrought(poolId)]).toEqual([
    [4],
    [4],
  ]);
  // Once they are in use here, nobody replaces them.
  hsm.openRootKeys(poolId, 4);
  await hsm.rememberUsed();
  const later = takes(second.exported.entries, poolId);
  await expect(later).rejects.toMatchObject({ code: 'Conflict' });
  expect(await hsm.listRootGenerations(poolId)).toEqual([4]);
  destroy(4);
});

test.each([[[]], [['root-wrap']], [['root-seal']]])(
  'others of their name stay as they are, and nothing is put beside them (missing: %j)',
  async (missing) => {
    const { entries } = await ceremony.exportRootKeys();
    destroy(2);
    const { rootCheck } = await hsm.makeRootKeys(1);
    destroy(2, missing);
    const there = ['root-wrap', 'root-seal'].map((part) => (missing.includes(part) ? 0 : 1));
    await expect(importing(entries)).rejects.toMatchObject({ code: 'Conflict' });
    expect(count(2)).toEqual(there);
    hsm.openRootKeys(poolId, 1);
    const isSame = await hsm.useRootKeys(2, rootCheck).catch(() => false);
    expect(isSame).toBe(missing.length === 0);
  },
);

test('what was altered is refused in a sentence, and nothing of it gets into the token', async () => {
  const { entries } = await ceremony.exportRootKeys();
  destroy(2);
  const before = calls.findObjects(session, {}, ALL).length;
  const header = 'strongroom-root-keys';
  const edited = (change: (header: Record<string, unknown>) => object) => (bytes: Buffer) =>
    Buffer.from(JSON.stringify(change(JSON.parse(bytes.toString()) as Record<string, unknown>)));
  const cases: readonly (readonly DomainEntry[])[] = [
    [],
    // Domains of earlier versions say nothing of older root keys.
    ...entries
      .filter(({ tag }) => tag !== 'strongroom-vouchers')
      .map(({ tag }) => entries.filter((entry) => entry.tag !== tag)),
    [...entries, ...entries],
    ...entries.map(({ tag }) => altered(entries, tag, (bytes) => bytes.subarray(0, -1))),
    ...entries.map(({ tag }) => altered(entries, tag, () => Buffer.alloc(0))),
    ...[0, 9, 39].flatMap((at) =>
      ['strongroom-root-wrap', 'strongroom-root-seal'].map((tag) =>
        altered(entries, tag, flipped(at)),
      ),
    ),
    altered(entries, 'strongroom-one-time-key', flipped(5)),
    altered(
      entries,
      header,
      edited((known) => ({ ...known, generation: 3 })),
    ),
    altered(
      entries,
      header,
      edited((known) => ({ ...known, generation: 0 })),
    ),
    altered(
      entries,
      header,
      edited((known) => ({ ...known, poolId: '11111111-1111-1111-1111-111111111111' })),
    ),
    altered(
      entries,
      header,
      edited((known) => ({ ...known, format: 'strongroom root keys 2' })),
    ),
    altered(
      entries,
      header,
      edited((known) => ({ ...known, rootCheck: randomBytes(32).toString('base64url') })),
    ),
    altered(
      entries,
      header,
      edited((known) => ({ ...known, wrapCheck: randomBytes(40).toString('base64url') })),
    ),
    altered(entries, 'strongroom-backup-keys', () => Buffer.from('[{}]')),
  ];
  for (const one of cases)
    await expect(importing(one)).rejects.toMatchObject({ code: 'BadParameter' });
  const pairs = JSON.parse(
    Buffer.from(
      entries.find(({ tag }) => tag === 'strongroom-backup-keys')?.plaintext ?? [],
    ).toString(),
  ) as Record<string, string>[];
  for (const name of ['version', 'blob', 'macBlob', 'seal']) {
    const [first, ...rest] = pairs;
    const value = first?.[name] ?? '';
    const other = `${value.startsWith('a') ? 'b' : 'a'}${value.slice(1)}`;
    const changed = Buffer.from(JSON.stringify([{ ...first, [name]: other }, ...rest]));
    await expect(
      importing(altered(entries, 'strongroom-backup-keys', () => changed)),
    ).rejects.toMatchObject({ code: 'BadParameter' });
  }
  expect(count(2)).toEqual([0, 0]);
  expect(calls.findObjects(session, {}, ALL)).toHaveLength(before);
});

test('a domain that was cut is found out where it is opened; one of another product is not judged', async () => {
  const { entries } = await ceremony.exportRootKeys();
  requireWhole(entries);
  // Domains from before there were vouchers have none: without them an HSM that holds older root keys takes no new ones.
  for (const { tag } of entries.filter((entry) => entry.tag !== 'strongroom-vouchers'))
    expect(() => {
      requireWhole(entries.filter((entry) => entry.tag !== tag));
    }).toThrow('is not whole');
  requireWhole(azureDomain.entries);
});

test("what a cut-off attempt left is passed over; a rotation that isn't over, and the pool's own domain, are a conflict", async () => {
  await ceremony.exportRootKeys();
  const { generation, entries } = await ceremony.exportRootKeys();
  expect([generation, count(2), count(3)]).toEqual([3, [1, 1], [1, 1]]);
  await expect(ceremony.importRootKeys(entries)).rejects.toMatchObject({ code: 'Conflict' });
  expect((await hsm.makeRootKeys(1)).generation).toBe(4);
  destroy(4);
  recorded.isUnfinished = true;
  await expect(ceremony.exportRootKeys()).rejects.toMatchObject({ code: 'Conflict' });
  expect(count(4)).toEqual([0, 0]);
});

test('those of a later download take the place of pending ones, in numbers too, and say that these go', async () => {
  recorded.pending = 5;
  expect(await ceremony.progress(5)).toBe('InProgress');
  const exported = await ceremony.exportRootKeys();
  expect(exported.generation).toBe(6);
  expect(exported.supersedes).toEqual({ number: 5, proof: await hsm.retirementProof(5) });
  expect(exported.endorsement.retirement.retires).toEqual([1, 5]);
  expect([await ceremony.progress(1), await ceremony.progress(6)]).toEqual(['Success', 'Failed']);
  destroy(6);
});

test('a domain has with it what the older root keys say of its own', async () => {
  const { entries, generation } = await ceremony.exportRootKeys();
  expect(readEntries(entries).vouchers).toEqual([
    { by: 1, generation, proof: Buffer.from(await hsm.voucher(1, generation)) },
  ]);
  const before = entries.filter(({ tag }) => tag !== 'strongroom-vouchers');
  expect(readEntries(before).vouchers).toEqual([]);
  const altered = [...before, { tag: 'strongroom-vouchers', plaintext: Buffer.from('[{"by":1}]') }];
  expect(() => readEntries(altered)).toThrow('holds no root keys of this service');
});

test('nothing is left in the token where backup keys can not be wrapped by them', async () => {
  const [pair] = recorded.pairs;
  if (pair === undefined) throw new TypeError('there is one');
  recorded.pairs = [{ ...pair, identity: { ...pair.identity, version: newVersionId() } }];
  await expect(ceremony.exportRootKeys()).rejects.toMatchObject({ code: 'KeyIntegrityViolation' });
  expect([count(2), countExtractable()]).toEqual([[0, 0], 0]);
});
