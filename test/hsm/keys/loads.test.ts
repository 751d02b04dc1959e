import { afterEach, describe, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import type { SigningAlgorithm } from '../../../src/core/operations/algorithms.ts';
import type { KeyMaterial, KeySpec } from '../../../src/core/keys/key.ts';
import { openPkcs11Hsm, type Pkcs11Hsm } from '../../../src/hsm/pkcs11-hsm.ts';
import { openTestHsm, testIdentity } from '../../support/hsm.ts';
import { testToken } from '../../support/softhsm.ts';

/** Unwrapping a sealed key costs a millisecond or so: how often it is done is counted here, since a time proves nothing. */

let open: Pkcs11Hsm[] = [];
afterEach(async () => {
  for (const hsm of open) await hsm.close();
  open = [];
});

function opened(loadedKeys = 100) {
  const made = openTestHsm({ loadedKeys });
  open.push(made.hsm);
  return made;
}

/** The record as the store gives it out after a change or in another process: equal, and not the same object. */
function readAgain(material: KeyMaterial): KeyMaterial {
  return structuredClone(material);
}

const digest = randomBytes(32);
const KINDS: readonly (readonly [SigningAlgorithm, KeySpec])[] = [
  ['RS256', { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 }],
  ['ES256', { keyType: 'EC-HSM', curve: 'P-256' }],
  ['HS256', { keyType: 'oct-HSM', bits: 256 }],
];

describe('a sealed key is loaded once in a process', () => {
  test.each(KINDS)(
    '%s: whatever the number of operations, in turn or at once',
    async (alg, spec) => {
      const { hsm, poolId } = opened();
      const key = await hsm.generateKey(testIdentity(poolId, 'used-often'), spec);
      const before = hsm.status.loads;
      await Promise.all(Array.from({ length: 50 }, () => hsm.sign(key, alg, digest)));
      for (let turn = 0; turn < 50; turn += 1) await hsm.sign(key, alg, digest);
      expect(hsm.status.loads - before).toBe(1);
    },
  );

  test('and part: the public half is another object than the private one', async () => {
    const { hsm, poolId } = opened();
    const key = await hsm.generateKey(testIdentity(poolId, 'pair'), {
      keyType: 'EC-HSM',
      curve: 'P-256',
    });
    for (let turn = 0; turn < 20; turn += 1) {
      const signature = await hsm.sign(key, 'ES256', digest);
      expect(await hsm.verify(key, 'ES256', digest, signature)).toBe(true);
    }
    expect(hsm.status.loads).toBe(2);
  });

  test('also where its record is read anew for each request', async () => {
    const { hsm, poolId } = opened();
    const key = await hsm.generateKey(testIdentity(poolId, 'read-anew'), {
      keyType: 'EC-HSM',
      curve: 'P-256',
    });
    for (let turn = 0; turn < 50; turn += 1) await hsm.sign(readAgain(key), 'ES256', digest);
    expect(hsm.status.loads).toBe(1);
  });

  test('for each of many keys in use by turns', async () => {
    const { hsm, poolId } = opened();
    const keys = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        hsm.generateKey(testIdentity(poolId, `one-of-many-${index}`), {
          keyType: 'EC-HSM',
          curve: 'P-256',
        }),
      ),
    );
    for (let turn = 0; turn < 10; turn += 1)
      for (const key of keys) await hsm.sign(key, 'ES256', digest);
    expect(hsm.status).toMatchObject({ loaded: 20, loads: 20 });
  });

  test('and once more in another process', async () => {
    const { hsm, poolId } = opened();
    const key = await hsm.generateKey(testIdentity(poolId, 'elsewhere'), {
      keyType: 'EC-HSM',
      curve: 'P-256',
    });
    for (let turn = 0; turn < 5; turn += 1) await hsm.sign(key, 'ES256', digest);
    expect(hsm.status.loads).toBe(1);
    await hsm.close();
    const other = openPkcs11Hsm({
      ...testToken(),
      leaseWaitMs: 5_000,
      reconnectWaitMs: 2_000,
      waitingLimit: 1_000,
      loadedKeys: 100,
      operationDeadlineMs: 20_000,
      keyGenerationDeadlineMs: 60_000,
      onHang: () => undefined,
      log: () => undefined,
    });
    open = [other];
    expect(other.openRootKeys(poolId, 1)).toBe(true);
    for (let turn = 0; turn < 5; turn += 1) await other.sign(readAgain(key), 'ES256', digest);
    expect(other.status.loads).toBe(1);
  });
});

describe('the other side of the line', () => {
  test('a key that had to give way to others is loaded again', async () => {
    const { hsm, poolId } = opened(2);
    const keys = await Promise.all(
      Array.from({ length: 3 }, (_, index) =>
        hsm.generateKey(testIdentity(poolId, `crowded-${index}`), {
          keyType: 'EC-HSM',
          curve: 'P-256',
        }),
      ),
    );
    for (let turn = 0; turn < 4; turn += 1)
      for (const key of keys) await hsm.sign(key, 'ES256', digest);
    expect(hsm.status.loads).toBe(12);
  });

  test.each([
    [4, 4],
    [3, 8],
  ])('room is counted in objects: two pairs of halves have %d', async (room, loads) => {
    const { hsm, poolId } = opened(room);
    const spec = { keyType: 'EC-HSM', curve: 'P-256' } as const;
    const keys = [
      await hsm.generateKey(testIdentity(poolId, 'one-pair'), spec),
      await hsm.generateKey(testIdentity(poolId, 'another-pair'), spec),
    ];
    for (let turn = 0; turn < 2; turn += 1)
      for (const key of keys) {
        const signature = await hsm.sign(key, 'ES256', digest);
        expect(await hsm.verify(key, 'ES256', digest, signature)).toBe(true);
      }
    expect(hsm.status.loads).toBe(loads);
  });

  test('a record whose key is another is not served by what was loaded', async () => {
    const { hsm, poolId } = opened();
    const spec = { keyType: 'EC-HSM', curve: 'P-256' } as const;
    const [key, other] = [
      await hsm.generateKey(testIdentity(poolId, 'mine'), spec),
      await hsm.generateKey(testIdentity(poolId, 'theirs'), spec),
    ];
    await hsm.sign(key, 'ES256', digest);
    const swapped = { ...key, sealed: { ...key.sealed, blob: other.sealed.blob } };
    await expect(hsm.sign(swapped, 'ES256', digest)).rejects.toMatchObject({
      code: 'KeyIntegrityViolation',
    });
  });
});
