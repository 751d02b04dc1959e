import { createPublicKey, randomBytes, randomUUID, verify } from 'node:crypto';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { AuditDraft } from '../../../src/core/audit/draft.ts';
import { parseKeyName, parseKeyVersionId } from '../../../src/core/keys/key.ts';
import { packBytes } from '../../../src/core/keys/packed-bytes.ts';
import type { TokenSigningKey } from '../../../src/core/directory/ports.ts';
import { createTokenSigningKeys } from '../../../src/core/directory/token-signing-keys.ts';
import { FakeChangeFeed } from '../../support/fakes/change-feed.ts';
import { FakeClock } from '../../support/fakes/clock.ts';
import { createRsaHsm } from '../../support/fakes/rsa-hsm.ts';
import { FakeSigningKeyStore } from '../../support/fakes/token-signing-key-store.ts';

const POOL = '5d4f7d6a-58a4-4f2e-8f0b-2f2d5b1c9e77';
const ROTATE_AFTER_DAYS = 30;
const DAY = 86_400;
const hsm = createRsaHsm();
const bytes = new TextEncoder().encode('header.payload');

let store: FakeSigningKeyStore;
let clock: FakeClock;
let feed: FakeChangeFeed;
let broken: string[];
beforeEach(() => {
  store = new FakeSigningKeyStore();
  feed = new FakeChangeFeed();
  clock = new FakeClock('2026-05-01T12:00:00Z');
  broken = [];
});

/** One process's view of the keys. */
const open = () =>
  createTokenSigningKeys({
    hsm,
    store,
    poolId: POOL,
    newVersionId: () => parseKeyVersionId(randomBytes(16).toString('hex')),
    rotateAfterDays: ROTATE_AFTER_DAYS,
    feed,
    clock,
    steadyMs: () => clock.now().getTime(),
    onBroken: (keyId) => broken.push(keyId),
  });
const change = () =>
  new AuditDraft(clock.now, { requestId: randomUUID(), operation: 'SigningKeyRotateScheduled' });
const idOf = ({ material }: TokenSigningKey) => material.identity.version;
const storedIds = async () => (await store.listSigningKeys()).map(idOf);

/** The newest key, made after the ones that are there have grown old enough. */
async function addKey(): Promise<string> {
  if ((await storedIds()).length === 0) await open().ensure(change());
  else {
    clock.advance(ROTATE_AFTER_DAYS * DAY);
    expect(await open().rotateDue(change())).toBe(true);
  }
  return (await storedIds())[0] ?? '';
}

describe('the first signing key', () => {
  test('is an RSA-2048 key that can sign and verify, and never leaves the HSM', async () => {
    await open().ensure(change());
    const [key] = await store.listSigningKeys();
    expect(key?.material).toMatchObject({
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
    await open().ensure(change());
    const [first] = await store.listSigningKeys();
    await open().ensure(change());
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
    await keys.ensure(change());
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
    await keys.ensure(change());
    await expect(keys.sign('0'.repeat(32), bytes)).rejects.toThrow('no such signing key');
  });
});

describe('rotation', () => {
  test('waits until the newest key is old enough, and records what came after what', async () => {
    const first = await addKey();
    clock.advance(ROTATE_AFTER_DAYS * DAY - 1);
    await expect(open().rotateDue(change())).resolves.toBe(false);
    clock.advance(1);
    const audited = change();
    await expect(open().rotateDue(audited)).resolves.toBe(true);
    const [second] = await storedIds();
    expect(audited.toRecord()).toMatchObject({
      change: { before: { keyId: first }, after: { keyId: second } },
    });
    await expect(open().rotateDue(change())).resolves.toBe(false);
  });

  test('by two processes at once makes one key', async () => {
    await addKey();
    clock.advance(ROTATE_AFTER_DAYS * DAY);
    const done = await Promise.all([open().rotateDue(change()), open().rotateDue(change())]);
    expect(done.sort()).toEqual([false, true]);
    expect(await storedIds()).toHaveLength(2);
  });

  test('has a key published for ten minutes before it signs, and the one before it for as long as it is the last', async () => {
    const first = await addKey();
    const second = await addKey();
    const keys = open();
    expect((await keys.publicKeys()).map(({ kid }) => kid)).toEqual([second, first]);
    expect(await keys.currentKeyId()).toBe(first);
    clock.advance(599);
    expect(await keys.currentKeyId()).toBe(first);
    clock.advance(1);
    expect(await keys.currentKeyId()).toBe(second);
    expect((await keys.publicKeys()).map(({ kid }) => kid)).toEqual([second, first]);
  });

  test('takes the key before the last one away', async () => {
    const [, second, third] = [await addKey(), await addKey(), await addKey()];
    expect((await open().publicKeys()).map(({ kid }) => kid)).toEqual([third, second]);
  });
});

describe('a key that another process has made', () => {
  test.each<[string, () => void]>([
    [
      'after a minute',
      () => {
        clock.advance(61);
      },
    ],
    [
      'at once when word of it comes',
      () => {
        feed.publish({ topic: 'signing-key', id: 'any' });
      },
    ],
    [
      'when word may have been missed',
      () => {
        feed.publish('reset');
      },
    ],
  ])('is known %s', async (_when, happens) => {
    const first = await addKey();
    clock.advance(ROTATE_AFTER_DAYS * DAY);
    const keys = open();
    const ids = async () => (await keys.publicKeys()).map(({ kid }) => kid);
    expect(await ids()).toEqual([first]);
    await open().rotateDue(change());
    expect(await ids()).toEqual([first]);
    happens();
    expect(await ids()).toEqual([...(await storedIds())]);
    expect(await ids()).toHaveLength(2);
  });

  test('is found at once when a token names it, but not sought more than once a second', async () => {
    const first = await addKey();
    clock.advance(ROTATE_AFTER_DAYS * DAY);
    const keys = open();
    expect((await keys.publicKeys(first)).map(({ kid }) => kid)).toEqual([first]);
    await open().rotateDue(change());
    const [second = ''] = await storedIds();
    expect((await keys.publicKeys()).map(({ kid }) => kid)).toEqual([first]);
    clock.advance(2);
    expect((await keys.publicKeys(second)).map(({ kid }) => kid)).toEqual([second, first]);
    const { reads } = store;
    clock.advance(2);
    await Promise.all(Array.from({ length: 50 }, () => keys.publicKeys('0'.repeat(32))));
    await keys.publicKeys('0'.repeat(32));
    expect(store.reads).toBe(reads + 1);
  });

  test('is not looked for in the store on every request', async () => {
    await addKey();
    const keys = open();
    const { reads } = store;
    for (let request = 0; request < 100; request += 1) await keys.publicKeys();
    expect(store.reads).toBe(reads + 1);
  });
});

describe('a key that the HSM has not sealed so', () => {
  test.each<[string, (key: TokenSigningKey) => TokenSigningKey]>([
    [
      'with another blob',
      ({ material, ...key }) => ({
        ...key,
        material: { ...material, sealed: { ...material.sealed, blob: packBytes(randomBytes(32)) } },
      }),
    ],
    [
      'that is one of the pool’s keys',
      ({ material, ...key }) => ({
        ...key,
        material: { ...material, identity: { ...material.identity, name: parseKeyName('mine') } },
      }),
    ],
  ])('%s is neither published nor used to sign, and is reported', async (_what, alter) => {
    const first = await addKey();
    const second = await addKey();
    clock.advance(DAY);
    store.replace(([newest, before]) =>
      newest === undefined || before === undefined ? [] : [alter(newest), before],
    );
    const keys = open();
    expect((await keys.publicKeys()).map(({ kid }) => kid)).toEqual([first]);
    expect(await keys.currentKeyId()).toBe(first);
    expect(broken).toEqual([second]);
  });
});
