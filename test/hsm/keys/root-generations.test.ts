import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { KeyMaterial, KeySpec } from '../../../src/core/keys/key.ts';
import { newVersionId } from '../../../src/core/keys/new-version-id.ts';
import { packBytes, unpackBytes } from '../../../src/core/keys/packed-bytes.ts';
import { BACKUP_KEYS } from '../../../src/core/recovery/root-keys/backup-keys.ts';
import type { Pkcs11Hsm } from '../../../src/hsm/pkcs11-hsm.ts';
import { openTestHsm, testIdentity } from '../../support/hsm.ts';

const EC: KeySpec = { keyType: 'EC-HSM', curve: 'P-256' };
const SPECS: readonly KeySpec[] = [
  { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 },
  EC,
  { keyType: 'EC-HSM', curve: 'P-521' },
  { keyType: 'oct-HSM', bits: 256 },
];
const DIGEST = randomBytes(32);
const GONE = { code: 'KeyIntegrityViolation' };

/** What only the key itself gives, and a check of it that another copy of the key has to pass. */
async function use(hsm: Pkcs11Hsm, key: KeyMaterial) {
  switch (key.spec.keyType) {
    case 'RSA-HSM':
      return hsm.sign(key, 'RS256', DIGEST);
    case 'EC-HSM':
      return hsm.verify(
        key,
        key.spec.curve === 'P-256' ? 'ES256' : 'ES512',
        key.spec.curve === 'P-256' ? DIGEST : Buffer.concat([DIGEST, DIGEST]),
        await hsm.sign(
          key,
          key.spec.curve === 'P-256' ? 'ES256' : 'ES512',
          key.spec.curve === 'P-256' ? DIGEST : Buffer.concat([DIGEST, DIGEST]),
        ),
      );
    case 'AKP-HSM':
      throw new TypeError('SoftHSM2 has no such keys');
    case 'oct-HSM': {
      const wrapped = await hsm.encrypt(key, 'A256KW', DIGEST, {});
      return [wrapped.value, await hsm.sign(key, 'HS256', DIGEST)];
    }
  }
}

describe('root keys of several generations', () => {
  let hsm: Pkcs11Hsm;
  let poolId: string;
  beforeAll(() => {
    ({ hsm, poolId } = openTestHsm());
  });
  afterAll(() => hsm.close());

  test('keys of the old and of the new one are used side by side, and one that is wrapped anew is the same key', async () => {
    const old = await Promise.all(
      SPECS.map((spec, index) => hsm.generateKey(testIdentity(poolId, `old-${index}`), spec)),
    );
    const before = await Promise.all(old.map((key) => use(hsm, key)));
    const { rootCheck: check } = await hsm.makeRootKeys(1);
    expect(await hsm.useRootKeys(2, randomBytes(32))).toBe(false);
    expect(await hsm.useRootKeys(2, check)).toBe(true);

    const fresh = await hsm.generateKey(testIdentity(poolId, 'fresh'), EC);
    expect(fresh.sealed.rootGeneration).toBe(2);
    expect(await use(hsm, fresh)).toBe(true);
    expect(await Promise.all(old.map((key) => use(hsm, key)))).toEqual(before);

    const moved = await Promise.all(old.map((key) => hsm.rewrap(key, 'current')));
    for (const [index, key] of moved.entries()) {
      expect(key.sealed.rootGeneration).toBe(2);
      expect(key.sealed.blob).not.toBe(old[index]?.sealed.blob);
      await hsm.requireIntact(key);
      expect(await use(hsm, key)).toEqual(before[index]);
    }

    await hsm.destroyRootKeys(1);
    for (const key of old) await expect(hsm.rewrap(key, 'current')).rejects.toMatchObject({});
    for (const key of old)
      await expect(hsm.requireIntact(key)).rejects.toMatchObject({ code: 'HsmUnavailable' });
    expect(await Promise.all(moved.map((key) => use(hsm, key)))).toEqual(before);
  });

  test('what was altered is not wrapped anew, nor bound to another identity', async () => {
    const key = await hsm.generateKey(testIdentity(poolId, 'altered'), EC);
    const blob = unpackBytes(key.sealed.blob);
    blob[9] = (blob[9] ?? 0) ^ 1;
    const altered = { ...key, sealed: { ...key.sealed, blob: packBytes(blob) } };
    await expect(hsm.rewrap(altered, 'current')).rejects.toMatchObject(GONE);
    const other = { ...key, identity: { ...key.identity, exportable: true } };
    await expect(hsm.rewrap(other, 'current', { identity: key.identity })).rejects.toMatchObject(
      GONE,
    );
  });

  test('the current ones are not destroyed', async () => {
    await expect(hsm.destroyRootKeys(2)).rejects.toThrow(TypeError);
    await expect(hsm.destroyRootKeys(3)).rejects.toThrow(TypeError);
  });

  test("what is in the token already is passed over: it may be known to somebody, or be another database's", async () => {
    const left = await hsm.makeRootKeys(2);
    const made = await hsm.makeRootKeys(2);
    expect([left.generation, made.generation]).toEqual([3, 4]);
    expect(await hsm.listRootGenerations()).toEqual([2, 3, 4]);
    expect(made.rootCheck).not.toEqual(left.rootCheck);
    expect(await hsm.useRootKeys(3, made.rootCheck)).toBe(false);
  });

  const newPair = () =>
    hsm.generateKey(
      { ...BACKUP_KEYS.identity, pool: poolId, version: newVersionId() },
      BACKUP_KEYS.spec,
    );

  test('backup keys open what they have wrapped, whatever the root keys are', async () => {
    const material = await newPair();
    const pair = material.identity.version;
    const earlier = await hsm.backupKey(undefined);
    expect(await hsm.earlierBackupKeys([2])).toEqual([earlier]);
    await expect(hsm.backupKey(pair)).rejects.toMatchObject({ code: 'HsmUnavailable' });
    hsm.openBackupKeys([material]);
    const [backupKey, cursorKey] = [await hsm.backupKey(pair), await hsm.cursorKey()];
    const uploadKey = await hsm.uploadKey();
    expect(uploadKey).not.toEqual(cursorKey);
    expect(backupKey).toHaveLength(64);
    expect(backupKey).not.toEqual(earlier);

    const keys = await Promise.all(
      SPECS.map((spec, index) => hsm.generateKey(testIdentity(poolId, `kept-${index}`), spec)),
    );
    const before = await Promise.all(keys.map((key) => use(hsm, key)));
    const kept = await Promise.all(keys.map((key) => hsm.rewrap(key, { pair })));
    for (const key of kept) {
      await expect(hsm.requireIntact(key)).rejects.toMatchObject(GONE);
      await expect(hsm.rewrap(key, 'current')).rejects.toMatchObject(GONE);
    }

    const made = await hsm.makeRootKeys(2);
    const earlierCheck = await hsm.rootCheck(poolId);
    expect(await hsm.useRootKeys(made.generation, made.rootCheck)).toBe(true);
    expect(await hsm.useRootKeys(2, earlierCheck)).toBe(false);
    hsm.openBackupKeys([await hsm.rewrap(material, 'current')]);
    await hsm.destroyRootKeys(2);
    const restored = await Promise.all(kept.map((key) => hsm.rewrap(key, 'current', { pair })));
    expect(await Promise.all(restored.map((key) => use(hsm, key)))).toEqual(before);
    expect(await hsm.backupKey(pair)).toEqual(backupKey);
    expect(await hsm.cursorKey()).toEqual(cursorKey);
    expect(await hsm.uploadKey()).toEqual(uploadKey);
  });

  test('each pair of backup keys opens what it has wrapped, and no other does', async () => {
    const [older, newer] = [await newPair(), await newPair()];
    const [first, second] = [older.identity.version, newer.identity.version];
    hsm.openBackupKeys([older]);
    const cursorKey = await hsm.cursorKey();
    hsm.openBackupKeys([older, newer]);
    expect([hsm.backupPairs, hsm.openablePairs]).toEqual([
      [first, second],
      [second, first],
    ]);
    // Processes that have heard of a newer pair, and those that haven't, read each other's cursors.
    expect(await hsm.cursorKey()).toEqual(cursorKey);

    const key = await hsm.generateKey(testIdentity(poolId, 'twice'), EC);
    const byFirst = await hsm.rewrap(key, { pair: first });
    const bySecond = await hsm.rewrap(key, { pair: second });
    expect(await use(hsm, await hsm.rewrap(byFirst, 'current', { pair: first }))).toBe(true);
    expect(await use(hsm, await hsm.rewrap(bySecond, 'current', { pair: second }))).toBe(true);
    await expect(hsm.rewrap(byFirst, 'current', { pair: second })).rejects.toMatchObject(GONE);
    await expect(hsm.rewrap(bySecond, 'current', { pair: first })).rejects.toMatchObject(GONE);
    await expect(hsm.rewrap(key, 'current', { pair: first })).rejects.toMatchObject(GONE);

    const secrets = [
      await hsm.backupKey(first),
      await hsm.backupKey(second),
      await hsm.archiveKey(first),
      await hsm.archiveKey(second),
    ].map((secret) => Buffer.from(secret).toString('hex'));
    expect(new Set(secrets).size).toBe(4);
    expect(new Set(secrets.map(({ length }) => length))).toEqual(new Set([128]));
  });

  test('an altered pair of backup keys is not used', async () => {
    const material = await newPair();
    const seal = unpackBytes(material.sealed.seal);
    seal[0] = (seal[0] ?? 0) ^ 1;
    hsm.openBackupKeys([{ ...material, sealed: { ...material.sealed, seal: packBytes(seal) } }]);
    await expect(hsm.backupKey(material.identity.version)).rejects.toMatchObject(GONE);
    hsm.openBackupKeys([material]);
    expect(await hsm.backupKey(material.identity.version)).toHaveLength(64);
  });

  test('backup keys of another pool open, and nothing is made by them; its root keys seal for it', async () => {
    const other = openTestHsm();
    const pair = newVersionId();
    const material = await other.hsm.generateKey(
      { ...BACKUP_KEYS.identity, pool: other.poolId, version: pair },
      BACKUP_KEYS.spec,
    );
    other.hsm.openBackupKeys([material]);
    const key = await other.hsm.generateKey(testIdentity(other.poolId, 'guest'), EC);
    const kept = await other.hsm.rewrap(key, { pair });

    const own = await newPair();
    hsm.openBackupKeys([own], [material]);
    expect([hsm.backupPairs, hsm.openablePairs]).toEqual([
      [own.identity.version],
      [own.identity.version, pair],
    ]);
    expect(await hsm.backupKey(pair)).toEqual(await other.hsm.backupKey(pair));
    const identity = { ...kept.identity, pool: poolId };
    expect(await use(hsm, await hsm.rewrap(kept, 'current', { pair, identity }))).toBe(true);
    const home = await hsm.rewrap(kept, { poolId: other.poolId, generation: 1 }, { pair });
    expect(await use(other.hsm, home)).toBe(true);
    expect(await use(hsm, await hsm.requireIntact(home))).toBe(true);
    const rootGeneration = hsm.rootGeneration();
    for (const [sealed, refused] of [
      [home.sealed, { code: 'HsmUnavailable' }],
      [{ ...home.sealed, rootGeneration }, GONE],
    ] as const)
      await expect(
        hsm.requireIntact({ ...home, identity: { ...home.identity, pool: poolId }, sealed }),
      ).rejects.toMatchObject(refused);
    await expect(
      hsm.rewrap(kept, { poolId: other.poolId, generation: 2 }, { pair }),
    ).rejects.toMatchObject({ code: 'HsmUnavailable' });
    // Both are connections of one process to one module: what ends the one ends the other.
    await other.hsm.close();
  });
});
