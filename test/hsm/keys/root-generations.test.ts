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
    const check = await hsm.prepareRootKeys(2);
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
    for (const key of old) await expect(hsm.requireIntact(key)).rejects.toMatchObject(GONE);
    expect(await Promise.all(moved.map((key) => use(hsm, key)))).toEqual(before);
  });

  test('what was altered is not wrapped anew, nor bound to another identity', async () => {
    const key = await hsm.generateKey(testIdentity(poolId, 'altered'), EC);
    const blob = unpackBytes(key.sealed.blob);
    blob[9] = (blob[9] ?? 0) ^ 1;
    const altered = { ...key, sealed: { ...key.sealed, blob: packBytes(blob) } };
    await expect(hsm.rewrap(altered, 'current')).rejects.toMatchObject(GONE);
    const other = { ...key, identity: { ...key.identity, exportable: true } };
    await expect(hsm.rewrap(other, 'current', key.identity)).rejects.toMatchObject(GONE);
  });

  test('the current ones are not destroyed', async () => {
    await expect(hsm.destroyRootKeys(2)).rejects.toThrow(TypeError);
    await expect(hsm.destroyRootKeys(3)).rejects.toThrow(TypeError);
  });

  test('what a crash has left of new ones is completed, and taken', async () => {
    const check = await hsm.prepareRootKeys(3);
    expect(await hsm.prepareRootKeys(3)).toEqual(check);
    expect(check).not.toEqual(await hsm.rootCheck(poolId));
  });

  test('the keys of backups open what they have wrapped, whatever the root keys are', async () => {
    const identity = { ...BACKUP_KEYS.identity, pool: poolId, version: newVersionId() };
    const pair = await hsm.generateKey(identity, BACKUP_KEYS.spec);
    const earlier = await hsm.backupKey();
    expect(await hsm.earlierBackupKeys([2])).toEqual([earlier]);
    hsm.openBackupKeys(pair);
    const [backupKey, cursorKey] = [await hsm.backupKey(), await hsm.cursorKey()];
    expect(backupKey).toHaveLength(64);
    expect(backupKey).not.toEqual(earlier);

    const keys = await Promise.all(
      SPECS.map((spec, index) => hsm.generateKey(testIdentity(poolId, `kept-${index}`), spec)),
    );
    const before = await Promise.all(keys.map((key) => use(hsm, key)));
    const kept = await Promise.all(keys.map((key) => hsm.rewrap(key, 'backup')));
    for (const key of kept) await expect(hsm.requireIntact(key)).rejects.toMatchObject(GONE);

    expect(await hsm.useRootKeys(3, await hsm.prepareRootKeys(3))).toBe(true);
    hsm.openBackupKeys(await hsm.rewrap(pair, 'current'));
    await hsm.destroyRootKeys(2);
    const restored = await Promise.all(kept.map((key) => hsm.rewrap(key, 'current')));
    expect(await Promise.all(restored.map((key) => use(hsm, key)))).toEqual(before);
    expect(await hsm.backupKey()).toEqual(backupKey);
    expect(await hsm.cursorKey()).toEqual(cursorKey);
  });
});
