import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createStorageOpener } from '../../../src/backup/storage/open-storage.ts';
import type { BackupStorage } from '../../../src/core/recovery/full-backup/ports.ts';
import type {
  AskedBy,
  AskedStorage,
  StorageSettings,
} from '../../../src/core/recovery/jobs/ports.ts';
import { sasToken, startBlobServer } from '../../support/blob-server.ts';
import type { ObjectServer } from '../../support/object-server.ts';
import { S3_CREDENTIALS, startS3Server } from '../../support/s3-server.ts';
import { failureTextOf } from '../../support/storage-contract.ts';

const AZURE = 'https://account.blob.core.windows.net';
const token = sasToken();

let blobs: ObjectServer;
let bucket: ObjectServer;
let folder: string;
beforeAll(async () => {
  [blobs, bucket] = await Promise.all([startBlobServer(), startS3Server()]);
  folder = await mkdtemp(join(tmpdir(), 'strongroom-storage-'));
});
afterAll(async () => {
  await Promise.all([blobs.close(), bucket.close(), rm(folder, { recursive: true })]);
});
const opened: BackupStorage[] = [];
afterEach(() => Promise.all(opened.splice(0).map((storage) => storage.close())));

async function open(asked: AskedStorage, settings: StorageSettings = {}, by: AskedBy = 'caller') {
  const storage = await createStorageOpener(settings, () => new Date())(asked, by);
  opened.push(storage);
  return storage;
}

const refused = (code: string, message: RegExp) => ({
  code,
  message: expect.stringMatching(message),
});

describe('where a caller may have backups written to', () => {
  test.each([
    `${AZURE}/backups`,
    `${AZURE}/backups/pools/main`,
    'https://account.z01.blob.storage.azure.net/backups',
    'https://account.blob.core.chinacloudapi.cn/backups',
  ])('%s, where no setting says otherwise', async (place) => {
    expect((await open({ place, token })).place).toBe(place);
  });

  test.each([
    'https://blob.core.windows.net/backups',
    'https://.blob.core.windows.net/backups',
    'https://a..blob.core.windows.net/backups',
    'https://blob.core.windows.net.example.org/backups',
    'https://account.blob.core.windows.net:8443/backups',
    'http://account.blob.core.windows.net/backups',
    'https://169.254.169.254/backups',
    'https://localhost/backups',
    'https://[::1]/backups',
    'https://example.org/backups',
  ])('not %s', async (place) => {
    await expect(open({ place, token })).rejects.toMatchObject(
      refused('StorageRefused', /STRONGROOM_BACKUP_HOSTS/),
    );
  });

  test('of hosts that are configured only those, and one by its name at a private address, too', async () => {
    const settings = { hosts: [blobs.origin, '*.blob.example.org'] };
    await (await open({ place: `${blobs.origin}/backups`, token }, settings)).check();
    await open({ place: 'https://a.blob.example.org/backups', token }, settings);
    await expect(open({ place: `${AZURE}/backups`, token }, settings)).rejects.toMatchObject({
      code: 'StorageRefused',
    });
  });

  test('a name below a domain is asked at public addresses alone', async () => {
    // RFC 6761: it is this machine.
    const settings = { hosts: ['*.localhost'] };
    const storage = await open({ place: 'https://a.localhost/backups', token }, settings);
    await expect(storage.check()).rejects.toMatchObject({ code: 'StorageUnavailable' });
  });

  test.each([
    `${AZURE}/backups?${token}`,
    `https://user:secret@account.blob.core.windows.net/backups`,
    `${AZURE}/backups#here`,
    `${AZURE}/back%2e%2eups`,
    AZURE,
    `${AZURE}/UPPER`,
    `${AZURE}/backups/.hidden`,
    'ftp://account.blob.core.windows.net/backups',
    'backups',
    '',
  ])('%j is no such place, and is not repeated', async (place) => {
    const error: unknown = await open({ place, token }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'BadParameter' });
    expect(failureTextOf(error)).not.toMatch(/sig=|secret/);
  });

  test('no folder of the machine', async () => {
    await expect(open({ place: folder, token })).rejects.toMatchObject({ code: 'StorageRefused' });
  });
});

describe('a SAS token', () => {
  const place = `${AZURE}/backups`;
  test.each<[string, Partial<AskedStorage>, string, RegExp]>([
    ['that is missing', {}, 'BadParameter', /SAS token/],
    [
      'without an end',
      { token: 'sv=1&sig=x' },
      'StorageRefused',
      /does not contain the expiry field/,
    ],
    ['whose end has come', { token: sasToken(new Date(0)) }, 'StorageRefused', /has expired/],
    ['whose end is no date', { token: 'se=soon&sig=x' }, 'StorageRefused', /not a date/],
    ['without a signature', { token: 'se=2999-01-01' }, 'StorageRefused', /signature/],
    ['that is none', { token: 'no token' }, 'StorageRefused', /form/],
    [
      'in whose place an identity is meant',
      { useManagedIdentity: true },
      'BadParameter',
      /managed identity/,
    ],
  ])('%s is refused in words', async (_what, given, code, message) => {
    await expect(open({ place, ...given })).rejects.toMatchObject(refused(code, message));
  });

  test('may begin with a question mark', async () => {
    const settings = { hosts: [blobs.origin] };
    const place = `${blobs.origin}/backups`;
    const storage = await open({ place, token: `?${token}` }, settings);
    await expect(storage.check()).resolves.toBeUndefined();
  });

  test('of the settings is for operators', async () => {
    const container = `${blobs.origin}/backups`;
    const settings = { hosts: [blobs.origin], sas: { container, token } };
    const asked = { place: `${container}/pools` };
    await (await open(asked, settings, 'operator')).check();
    // Whoever writes the schedule's row has it go nowhere else.
    for (const place of [`${blobs.origin}/others`, `${blobs.origin}/backups2`])
      await expect(open({ place }, settings, 'schedule')).rejects.toMatchObject(
        refused('StorageRefused', /STRONGROOM_BACKUP_SAS_CONTAINER/),
      );
    await expect(open(asked, settings)).rejects.toMatchObject({ code: 'BadParameter' });
    await expect(open(asked, { hosts: [blobs.origin] }, 'operator')).rejects.toMatchObject(
      refused('StorageRefused', /STRONGROOM_BACKUP_SAS_FILE/),
    );
  });
});

describe("the service's own bucket", () => {
  const settings = () => ({
    s3: {
      origin: bucket.origin,
      region: 'us-east-1',
      bucket: 'backups',
      credentials: S3_CREDENTIALS,
    },
  });

  test('is at its URL, for callers who bring no token', async () => {
    const place = `${bucket.origin}/backups/pools`;
    const storage = await open({ place, useManagedIdentity: true }, settings());
    await storage.check();
    expect(storage.place).toBe(place);
    await expect(open({ place, token }, settings())).rejects.toMatchObject({
      code: 'BadParameter',
    });
  });

  test('is the only one', async () => {
    const place = `${bucket.origin}/others`;
    await expect(open({ place }, settings())).rejects.toMatchObject(
      refused('StorageRefused', /STRONGROOM_BACKUP_S3_BUCKET/),
    );
  });
});

describe('a folder', () => {
  test('may be any for an operator', async () => {
    const storage = await open({ place: folder }, {}, 'operator');
    await expect(storage.check()).resolves.toBeUndefined();
  });
});
