import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createAzureStorage } from '../../../src/backup/storage/azure-storage.ts';
import { createOneHostAgent } from '../../../src/network/one-host-agent.ts';
import { sasToken, startBlobServer } from '../../support/blob-server.ts';
import type { BackupStorage } from '../../../src/core/recovery/full-backup/ports.ts';
import { ANSWER_BOUNDS } from '../../../src/backup/storage/answer-limits.ts';
import type { Fault } from '../../support/object-request.ts';
import type { ObjectServer } from '../../support/object-server.ts';
import {
  contentOf,
  failureTextOf,
  readAll,
  STORAGE_PROMISES,
} from '../../support/storage-contract.ts';

const ANSWERS = { ...ANSWER_BOUNDS, totalMs: 1_000, uploadMs: 1_000 };

let server: ObjectServer;
beforeAll(async () => {
  server = await startBlobServer();
});
afterAll(() => server.close());
const opened: BackupStorage[] = [];
afterEach(async () => {
  server.fail(undefined);
  await Promise.all(opened.splice(0).map((storage) => storage.close()));
});

function open({ container = 'backups', token = sasToken(), prefix = ['pools', 'main'] } = {}) {
  const agent = createOneHostAgent({
    origin: server.origin,
    onlyPublic: false,
    idleMs: 200,
    connections: 4,
    answers: ANSWERS,
  });
  const storage = createAzureStorage({
    origin: server.origin,
    container,
    prefix,
    token,
    agent,
    retryDelayMs: 10,
  });
  opened.push(storage);
  return storage;
}

describe('a container of Azure Blob storage', () => {
  test.each(STORAGE_PROMISES)('%s', async (_promise, holds) => {
    const storage = open();
    await expect(holds(storage)).resolves.toBeUndefined();
  });

  test('has everything below the folder that was named', async () => {
    await open({ prefix: ['deep', 'down'] }).write('mhsm/file', contentOf('here'));
    expect(server.objects.get('backups/deep/down/mhsm/file')?.toString()).toBe('here');
    expect(open({ prefix: ['deep', 'down'] }).place).toBe(`${server.origin}/backups/deep/down`);
  });

  test.each<[string, Parameters<typeof open>[0], RegExp]>([
    ['a token that it does not know', { token: `${sasToken()}0` }, /AuthenticationFailed/],
    ['a container that is not there', { container: 'none' }, /ContainerNotFound/],
  ])('refuses %s, in words without the token', async (_what, options, words) => {
    const storage = open(options);
    for (const ask of [
      () => storage.check(),
      () => storage.write('a/b', contentOf('x')),
      () => readAll(storage, 'a/b'),
      () => storage.listFolders(''),
      () => storage.removeFolder('a'),
    ]) {
      const error: unknown = await ask().catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        code: 'StorageRefused',
        message: expect.stringMatching(words),
      });
      expect(failureTextOf(error)).not.toContain('sig=');
    }
  });

  test.each<[string, Fault, number]>([
    ['hangs', () => 'hang', 6_000],
    ['cuts connections', () => 'reset', 6_000],
    ['is broken', () => ({ status: 500 }), 6_000],
    ['is full', () => ({ status: 507, headers: { 'x-ms-error-code': 'Full' } }), 1_000],
  ])(
    'that %s fails a write and a read in bounded time, in words without the token',
    async (_what, fault, limitMs) => {
      const storage = open();
      server.fail(fault);
      for (const ask of [
        () => storage.write('a/b', contentOf(randomBytes(100))),
        () => readAll(storage, 'a/b'),
      ]) {
        const startedAt = performance.now();
        const error: unknown = await ask().catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({
          code: expect.stringMatching(/^Storage(?:Unavailable|Refused)$/),
        });
        expect(failureTextOf(error)).not.toContain('sig=');
        expect(performance.now() - startedAt).toBeLessThan(limitMs);
      }
    },
  );

  test('is asked where it was named, wherever it would lead to', async () => {
    const other = await startBlobServer();
    const storage = open();
    server.fail(() => ({ status: 307, headers: { location: `${other.origin}/backups/a/b` } }));
    await expect(readAll(storage, 'a/b')).rejects.toMatchObject({
      code: expect.stringMatching(/^Storage/),
    });
    expect(other.requests).toEqual([]);
    await other.close();
  });

  test('claims a folder though the answer to it was lost', async () => {
    let losses = 1;
    server.fail(({ method, container, name, body }) => {
      if (method !== 'PUT' || losses-- < 1) return undefined;
      (server.objects as Map<string, Buffer>).set(`${container}/${name}`, body);
      return 'reset';
    });
    await expect(open().claimFolder('lost')).resolves.toBeUndefined();
    await expect(open().claimFolder('lost')).rejects.toMatchObject({ code: 'Conflict' });
  });

  test('goes on with a read that is cut in the middle, and gives it up where each try is', async () => {
    const storage = open();
    const bytes = randomBytes(3_000_000);
    await storage.write('cut/file', contentOf(bytes));
    let cuts = 2;
    server.fail(({ method }) => (method === 'GET' && cuts-- > 0 ? 'cut' : undefined));
    expect((await readAll(storage, 'cut/file')).equals(bytes)).toBe(true);
    server.fail(({ method }) => (method === 'GET' ? 'cut' : undefined));
    await expect(readAll(storage, 'cut/file')).rejects.toMatchObject({
      code: 'StorageUnavailable',
    });
  });
});
