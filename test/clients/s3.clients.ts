import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { ANSWER_BOUNDS } from '../../src/backup/storage/answer-limits.ts';
import { createS3Storage } from '../../src/backup/storage/s3-storage.ts';
import type { BackupStorage } from '../../src/core/recovery/full-backup/ports.ts';
import { createOneHostAgent } from '../../src/network/one-host-agent.ts';
import type { Answer, Caller } from '../support/client.ts';
import { type CommandHost, openCommandHost } from '../support/commands.ts';
import { created, signInAdministrator } from '../support/directory.ts';
import { installS3Gateway, type S3Gateway, startS3Gateway } from '../support/s3-gateway.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';
import {
  contentOf,
  failureTextOf,
  readAll,
  STORAGE_PROMISES,
} from '../support/storage-contract.ts';
import { until } from '../support/until.ts';

/** Backups in a server of S3 that others have written. A machine that can't have it skips with the reason. */

const missing = installS3Gateway();
if (missing !== undefined) console.warn(`skipped: ${missing}`);
const describeHere = missing === undefined ? describe : describe.skip;

let gateway: S3Gateway;
beforeAll(async () => {
  if (missing !== undefined) return;
  gateway = await startS3Gateway();
  await gateway.makeBucket('backups');
}, 60_000);
afterAll(async () => {
  if (missing === undefined) await gateway.stop();
});

describeHere('a bucket of a real server', () => {
  const opened: BackupStorage[] = [];
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((storage) => storage.close()));
  });
  function open({ bucket = 'backups', credentials = gateway.credentials } = {}) {
    const { origin, region } = gateway;
    const agent = createOneHostAgent({
      origin,
      onlyPublic: false,
      idleMs: 10_000,
      connections: 6,
      answers: ANSWER_BOUNDS,
    });
    const storage = createS3Storage({
      origin,
      region,
      bucket,
      prefix: ['pools', 'main'],
      credentials,
      agent,
    });
    opened.push(storage);
    return storage;
  }

  test.each(STORAGE_PROMISES)('%s', async (_promise, holds) => {
    await expect(holds(open())).resolves.toBeUndefined();
  });

  test('takes a file of many parts, and keeps none of one that broke off', async () => {
    const bytes = randomBytes(40 * 1024 ** 2);
    const storage = open();
    await storage.write('parts/file', contentOf(bytes.subarray(0, 1_000), bytes.subarray(1_000)));
    expect((await readAll(storage, 'parts/file')).equals(bytes)).toBe(true);
    const client = new S3Client({
      endpoint: gateway.origin,
      region: gateway.region,
      credentials: gateway.credentials,
      forcePathStyle: true,
    });
    const { Uploads = [] } = await client.send(
      new ListMultipartUploadsCommand({ Bucket: 'backups' }),
    );
    client.destroy();
    expect(Uploads).toEqual([]);
  });

  test('removes a folder of thirty files', async () => {
    const storage = open();
    for (let file = 0; file < 30; file += 1)
      await storage.write(`many/${file}`, contentOf(String(file)));
    await storage.removeFolder('many');
    expect(await storage.listFolders('many')).toEqual([]);
  });

  test.each<[string, () => Parameters<typeof open>[0], RegExp]>([
    [
      'a wrong secret',
      () => ({ credentials: { ...gateway.credentials, secretAccessKey: 'another' } }),
      /SignatureDoesNotMatch/,
    ],
    [
      'a key that it does not know',
      () => ({ credentials: { ...gateway.credentials, accessKeyId: 'other' } }),
      // The second is its own word.
      /InvalidAccessKeyId|XAdminUserNotFound/,
    ],
    ['a bucket that is not there', () => ({ bucket: 'none' }), /NoSuchBucket/],
  ])('refuses %s, in words without the secret', async (_what, options, words) => {
    const storage = open(options());
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
      expect(failureTextOf(error)).not.toContain(gateway.credentials.secretAccessKey);
    }
  });
});

describeHere('full backups in a bucket of a real server', () => {
  const VERSION = '?api-version=7.6';
  const value = Buffer.alloc(32, 7).toString('base64url');
  let secrets: string;
  let settings: Readonly<Record<string, string>>;
  let service: RunningService;
  let admin: Caller & { close(): void };
  let commands: CommandHost;
  let place: string;
  let wrapped: string;
  beforeAll(async () => {
    secrets = await mkdtemp(join(tmpdir(), 'strongroom-s3-credentials-'));
    const { accessKeyId, secretAccessKey } = gateway.credentials;
    const file = join(secrets, 'credentials');
    await writeFile(
      file,
      `aws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`,
    );
    settings = {
      STRONGROOM_BACKUP_S3_ENDPOINT: gateway.origin,
      STRONGROOM_BACKUP_S3_REGION: gateway.region,
      STRONGROOM_BACKUP_S3_BUCKET: 'backups',
      STRONGROOM_BACKUP_S3_CREDENTIALS_FILE: file,
    };
    // The service as a pod with AWS's own variables would have them, commands with the file.
    service = await startService(await makeDataFolder(), {
      ...settings,
      STRONGROOM_BACKUP_S3_CREDENTIALS_FILE: '',
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      STRONGROOM_WORKERS: '1',
    });
    admin = await signInAdministrator(service);
    commands = await openCommandHost();
    place = `${gateway.origin}/backups/service`;
    await created(
      admin('POST', `/keys/wrapping/create${VERSION}`, { kty: 'oct-HSM', key_size: 256 }),
    );
    wrapped = await wrapping('wrapkey', value);
  }, 120_000);
  afterAll(async () => {
    admin.close();
    await commands.close();
    await service.stop();
    await removeDataFolder(service.dataFolder);
    await rm(secrets, { recursive: true });
  });

  const wrapping = async (operation: string, given: string) => {
    const body = { alg: 'A256KW', value: given };
    const answer = await admin('POST', `/keys/wrapping/${operation}${VERSION}`, body);
    return answer.json<{ value: string }>().value;
  };
  const storage = () => ({ storageResourceUri: place, useManagedIdentity: true });
  interface Job {
    readonly status: string;
    readonly error: unknown;
    readonly azureStorageBlobContainerUri?: string;
  }
  const endOf = async (begun: Answer): Promise<Job> => {
    expect(begun.status).toBe(202);
    const { pathname } = new URL(String(begun.headers['azure-asyncoperation']));
    const read = async () => (await admin('GET', pathname)).json<Job>();
    await until(async () => (await read()).status !== 'InProgress');
    return read();
  };
  const strongroom = (...words: readonly string[]) =>
    commands.run(['backup', ...words], {
      ...settings,
      STRONGROOM_DATA_DIR: service.dataFolder,
      PATH: process.env['PATH'] ?? '',
    });

  test('are made and restored over REST, by the service’s own credential', async () => {
    const made = await endOf(await admin('POST', `/backup${VERSION}`, storage()));
    expect(made).toMatchObject({ status: 'Succeeded', error: null });
    const folder = made.azureStorageBlobContainerUri?.split('/').at(-1) ?? '';
    await admin('DELETE', `/keys/wrapping${VERSION}`);
    expect((await admin('DELETE', `/deletedkeys/wrapping${VERSION}`)).status).toBe(204);
    const restored = await admin('PUT', `/keys/wrapping/restore${VERSION}`, {
      sasTokenParameters: storage(),
      folder,
    });
    expect(await endOf(restored)).toMatchObject({ status: 'Succeeded', error: null });
    expect(await wrapping('unwrapkey', wrapped)).toBe(value);
  }, 60_000);

  test('are planned, read back and removed', async () => {
    const folders = async () => {
      const { words } = await strongroom('list', '--from', `${place}/planned`, '--json');
      return (JSON.parse(words) as { folder: string }[]).map(({ folder }) => folder);
    };
    const plan = ['schedule', 'set', '--to', `${place}/planned`, '--every', '1d', '--keep', '1'];
    expect(await strongroom(...plan)).toMatchObject({ status: 0 });
    await until(async () => (await folders()).length === 1);
    const [first = ''] = await folders();
    expect((await strongroom('verify', first, '--from', `${place}/planned`)).status).toBe(0);
    expect(await strongroom(...plan)).toMatchObject({ status: 0 });
    await until(async () => {
      const now = await folders();
      return now.length === 1 && now[0] !== first;
    });
  }, 120_000);
});
