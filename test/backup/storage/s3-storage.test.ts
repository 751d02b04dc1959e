import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createS3Storage } from '../../../src/backup/storage/s3-storage.ts';
import type { BackupStorage } from '../../../src/core/recovery/full-backup/ports.ts';
import { createOneHostAgent } from '../../../src/network/one-host-agent.ts';
import { ANSWER_BOUNDS } from '../../../src/backup/storage/answer-limits.ts';
import type { Fault } from '../../support/object-request.ts';
import type { ObjectServer } from '../../support/object-server.ts';
import { S3_CREDENTIALS, startS3Server } from '../../support/s3-server.ts';
import {
  contentOf,
  failureTextOf,
  readAll,
  STORAGE_PROMISES,
} from '../../support/storage-contract.ts';

const ANSWERS = { ...ANSWER_BOUNDS, totalMs: 1_000, uploadMs: 1_000 };

let server: ObjectServer;
beforeAll(async () => {
  server = await startS3Server();
});
afterAll(() => server.close());
const opened: BackupStorage[] = [];
afterEach(async () => {
  server.fail(undefined);
  await Promise.all(opened.splice(0).map((storage) => storage.close()));
});

interface Opening {
  readonly bucket?: string;
  readonly credentials?: typeof S3_CREDENTIALS | undefined;
  readonly prefix?: readonly string[];
}

function open(options: Opening = {}) {
  const { bucket = 'backups', prefix = ['pools'] } = options;
  const credentials = 'credentials' in options ? options.credentials : S3_CREDENTIALS;
  const { origin } = server;
  const agent = createOneHostAgent({
    origin,
    onlyPublic: false,
    idleMs: 200,
    connections: 4,
    answers: ANSWERS,
  });
  const region = 'eu-central-1';
  const storage = createS3Storage({
    ...{ origin, region, bucket, prefix, agent },
    ...(credentials !== undefined && { credentials }),
  });
  opened.push(storage);
  return storage;
}

describe('a bucket of S3', () => {
  test.each(STORAGE_PROMISES)('%s', async (_promise, holds) => {
    await expect(holds(open())).resolves.toBeUndefined();
  });

  test('has everything below the folder that was named', async () => {
    await open({ prefix: ['deep', 'down'] }).write('mhsm/file', contentOf('here'));
    expect(server.objects.get('backups/deep/down/mhsm/file')?.toString()).toBe('here');
    expect(open({ prefix: ['deep', 'down'] }).place).toBe(`${server.origin}/backups/deep/down`);
  });

  test.each<[string, Parameters<typeof open>[0], RegExp]>([
    [
      'a key that it does not know',
      { credentials: { ...S3_CREDENTIALS, accessKeyId: 'other' } },
      /InvalidAccessKeyId/,
    ],
    ['a bucket that is not there', { bucket: 'none' }, /NoSuchBucket/],
  ])('refuses %s, in words without the secret', async (_what, options, words) => {
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
      expect(failureTextOf(error)).not.toContain(S3_CREDENTIALS.secretAccessKey);
    }
  });

  test.each<[string, Fault]>([
    ['hangs', () => 'hang'],
    ['cuts connections', () => 'reset'],
    ['is broken', () => ({ status: 500 })],
    ['is full', () => ({ status: 507 })],
  ])('that %s fails a write and a read in bounded time', async (_what, fault) => {
    const storage = open();
    server.fail(fault);
    for (const ask of [
      () => storage.write('a/b', contentOf(randomBytes(100))),
      () => readAll(storage, 'a/b'),
    ]) {
      const error: unknown = await ask().catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        code: expect.stringMatching(/^Storage(?:Unavailable|Refused)$/),
      });
    }
  });

  test("goes by what AWS's own clients find where it is given no credentials, and says where that is nothing", async () => {
    const names = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_EC2_METADATA_DISABLED'];
    const before = { ...process.env };
    Object.assign(process.env, {
      AWS_ACCESS_KEY_ID: S3_CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: S3_CREDENTIALS.secretAccessKey,
      AWS_EC2_METADATA_DISABLED: 'true',
      // Whoever runs the tests may have files there.
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
      AWS_CONFIG_FILE: '/dev/null',
    });
    try {
      await expect(open({ credentials: undefined }).check()).resolves.toBeUndefined();
      for (const name of names.slice(0, 2)) Reflect.deleteProperty(process.env, name);
      await expect(open({ credentials: undefined }).check()).rejects.toMatchObject({
        code: 'StorageRefused',
        message: expect.stringContaining('STRONGROOM_BACKUP_S3_CREDENTIALS_FILE'),
      });
    } finally {
      process.env = before;
    }
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

  test('claims a folder where the server knows no write that may replace nothing', async () => {
    server.fail(({ header }) =>
      header('if-none-match') === undefined
        ? undefined
        : { status: 501, body: '<Error><Code>NotImplemented</Code></Error>' },
    );
    await open().claimFolder('unknown');
    expect(server.objects.has('backups/pools/unknown/claim')).toBe(true);
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
