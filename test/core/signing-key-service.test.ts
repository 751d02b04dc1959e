import { createPublicKey, randomBytes, verify } from 'node:crypto';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { parseKeyVersionId } from '../../src/core/key.ts';
import { createSigningKeys } from '../../src/core/signing-key-service.ts';
import { createRsaHsm } from '../support/fakes/rsa-hsm.ts';
import { FakeSigningKeyStore } from '../support/fakes/signing-key-store.ts';

const POOL = '5d4f7d6a-58a4-4f2e-8f0b-2f2d5b1c9e77';
const hsm = createRsaHsm();
const bytes = new TextEncoder().encode('header.payload');

let store: FakeSigningKeyStore;
let now: number;
beforeEach(() => {
  store = new FakeSigningKeyStore();
  now = 0;
});

/** One process's view of the keys. */
const open = () =>
  createSigningKeys({
    hsm,
    store,
    poolId: POOL,
    newVersionId: () => parseKeyVersionId(randomBytes(16).toString('hex')),
    steadyMs: () => now,
  });

/** What rotation does: a newer key beside the first. */
async function addKey(): Promise<string> {
  const alone = new FakeSigningKeyStore();
  const keys = createSigningKeys({
    hsm,
    store: alone,
    poolId: POOL,
    newVersionId: () => parseKeyVersionId(randomBytes(16).toString('hex')),
    steadyMs: () => now,
  });
  await keys.ensure();
  const [material] = await alone.listSigningKeys();
  if (material === undefined) throw new Error('no key was made');
  await store.insertSigningKey(material);
  return material.identity.version;
}

describe('the first signing key', () => {
  test('is an RSA-2048 key that can sign and verify, and never leaves the HSM', async () => {
    await open().ensure();
    const [material] = await store.listSigningKeys();
    expect(material).toMatchObject({
      identity: {
        pool: POOL,
        name: 'directory-signing',
        operations: ['sign', 'verify'],
        exportable: false,
        origin: 'generated',
      },
      spec: { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 },
    });
  });

  test('is made once', async () => {
    await open().ensure();
    const [first] = await store.listSigningKeys();
    await open().ensure();
    await expect(store.listSigningKeys()).resolves.toEqual([first]);
  });

  test('has to be there before a token is signed', async () => {
    await expect(open().currentKeyId()).rejects.toThrow('no signing key');
    await expect(open().publicKeys()).resolves.toEqual([]);
  });
});

describe('a signature', () => {
  test('is RS256 and verifies under the published key of its id', async () => {
    const keys = open();
    await keys.ensure();
    const keyId = await keys.currentKeyId();
    const signature = await keys.sign(keyId, bytes);
    const [published] = await keys.publicKeys();
    expect(published?.kid).toBe(keyId);
    const key = createPublicKey({
      format: 'jwk',
      key: {
        kty: 'RSA',
        n: Buffer.from(published?.n ?? []).toString('base64url'),
        e: Buffer.from(published?.e ?? []).toString('base64url'),
      },
    });
    expect(verify('sha256', bytes, key, signature)).toBe(true);
    expect(verify('sha256', bytes.slice(1), key, signature)).toBe(false);
  });

  test('is not made by a key that is not the directory’s', async () => {
    const keys = open();
    await keys.ensure();
    await expect(keys.sign('0'.repeat(32), bytes)).rejects.toThrow('no such signing key');
  });
});

describe('a newer key', () => {
  test('signs, while the one before it stays published', async () => {
    const first = await addKey();
    const second = await addKey();
    const keys = open();
    expect(await keys.currentKeyId()).toBe(second);
    expect((await keys.publicKeys()).map(({ kid }) => kid)).toEqual([second, first]);
  });

  test('replaces the one but before it', async () => {
    const [, second, third] = [await addKey(), await addKey(), await addKey()];
    expect((await open().publicKeys()).map(({ kid }) => kid)).toEqual([third, second]);
  });

  test('made by another process is known after a minute', async () => {
    const first = await addKey();
    const keys = open();
    expect(await keys.currentKeyId()).toBe(first);
    const second = await addKey();
    now = 60_000;
    expect(await keys.currentKeyId()).toBe(first);
    now = 60_001;
    expect(await keys.currentKeyId()).toBe(second);
  });

  test('that a token names is found at once, but not sought more than once a second', async () => {
    const first = await addKey();
    const keys = open();
    expect((await keys.publicKeys(first)).map(({ kid }) => kid)).toEqual([first]);
    const second = await addKey();
    now = 1_001;
    expect((await keys.publicKeys(second)).map(({ kid }) => kid)).toEqual([second, first]);
    const reads = store.reads;
    now = 2_002;
    await Promise.all(Array.from({ length: 50 }, () => keys.publicKeys('0'.repeat(32))));
    await keys.publicKeys('0'.repeat(32));
    expect(store.reads).toBe(reads + 1);
  });

  test('is not looked for in the store on every request', async () => {
    await addKey();
    const keys = open();
    for (let request = 0; request < 100; request += 1) await keys.publicKeys();
    expect(store.reads).toBe(1);
  });
});
