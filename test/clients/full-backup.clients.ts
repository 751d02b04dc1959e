import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Az, findAz, openAz, signInToAz } from '../support/az.ts';
import { type Azurite, installAzurite, startAzurite } from '../support/azurite.ts';
import type { Caller } from '../support/client.ts';
import { created, signInAdministrator } from '../support/directory.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';
import { makeVirtualEnvironment } from '../support/virtual-environment.ts';

/**
 * Full backups as Microsoft's clients ask for them, in Microsoft's emulator of Azure Blob storage. A machine that can't have
 * it, or a client, skips with the reason.
 */

const HERE = fileURLToPath(new URL('.', import.meta.url));
const run = promisify(execFile);
const missing = installAzurite();
const python = makeVirtualEnvironment('python', join(HERE, 'requirements.txt'));
const az = findAz();
for (const reason of new Set([missing, python.missing, az.missing]))
  if (reason !== undefined) console.warn(`skipped: ${reason}`);
const describeWith = (client: { readonly missing?: string | undefined }) =>
  (missing ?? client.missing) === undefined ? describe : describe.skip;

const AZ_MS = 1_800_000;

let azurite: Azurite;
let container: string;
let service: RunningService;
beforeAll(async () => {
  if (missing !== undefined) return;
  azurite = await startAzurite();
  container = await azurite.makeContainer('backups');
  await azurite.makeContainer('others');
  service = await startService(await makeDataFolder(), {
    STRONGROOM_BACKUP_HOSTS: azurite.origin,
    STRONGROOM_WORKERS: '1',
  });
}, 120_000);
afterAll(async () => {
  if (missing !== undefined) return;
  await azurite.stop();
  await service.stop();
  await removeDataFolder(service.dataFolder);
});

describeWith(python)('a full backup with Python', () => {
  test('full_backup.py does what it says', async () => {
    const { stdout } = await run(
      join(python.bin, 'python'),
      [join(HERE, 'full_backup.py'), service.localUrl, container],
      {
        env: {
          PATH: process.env['PATH'],
          ...service.client,
          SAS: azurite.sasToken('backups'),
          OTHER_SAS: azurite.sasToken('others'),
          EXPIRED_SAS: azurite.sasToken('backups', new Date(Date.now() - 1_000)),
        },
        timeout: 300_000,
      },
    );
    console.info(stdout);
    expect(stdout).toContain('done: full backups');
    const names = await azurite.list('backups');
    expect(names.filter((name) => name.endsWith('/manifest.json'))).toHaveLength(3);
    expect(await azurite.list('others')).toEqual([]);
  }, 330_000);
});

describeWith(az)('a full backup with az', () => {
  const VERSION = '?api-version=7.6';
  const value = Buffer.alloc(32, 7).toString('base64url');
  let opened: Az;
  let admin: Caller & { close(): void };
  let wrapped: string;
  let folder: string;
  beforeAll(async () => {
    opened = await openAz(service, az.path);
    await signInToAz(opened, service);
    admin = await signInAdministrator(service);
    await created(admin('POST', `/keys/wrapping/create${VERSION}`, { kty: 'RSA-HSM' }));
    wrapped = await wrapping('wrapkey', value);
  }, AZ_MS);
  afterAll(async () => {
    admin.close();
    await opened.close();
  });

  const wrapping = async (operation: string, given: string) => {
    const body = { alg: 'RSA-OAEP-256', value: given };
    const answer = await admin('POST', `/keys/wrapping/${operation}${VERSION}`, body);
    return answer.json<{ value: string }>().value;
  };
  const purge = async () => {
    await admin('DELETE', `/keys/wrapping${VERSION}`);
    expect((await admin('DELETE', `/deletedkeys/wrapping${VERSION}`)).status).toBe(204);
  };
  const start = <Shape>(what: string, token: string, ...more: readonly string[]) => {
    // This process sees nothing while az is at work, and would take closed connections for open ones.
    admin.close();
    return opened.az<Shape>(
      ...['keyvault', what, 'start', '--id', service.localUrl],
      // In one word: a token may begin with a dash.
      ...['--storage-resource-uri', container, `--storage-container-SAS-token=${token}`, ...more],
    );
  };
  const restore = (...more: readonly string[]) =>
    start('restore', azurite.sasToken('backups'), '--backup-folder', folder, ...more);

  test(
    'is made, and not by the token of another container, or an expired one',
    () => {
      const made = start<{ folderUrl: string }>('backup', azurite.sasToken('backups'));
      expect(made).toMatchObject({ status: 'Succeeded' });
      expect(made.folderUrl).toMatch(`${container}/mhsm-main-`);
      folder = made.folderUrl.slice(container.length + 1);
      expect(() => start('backup', azurite.sasToken('others'))).toThrow('AuthorizationFailure');
      expect(() => start('backup', azurite.sasToken('backups', new Date(0)))).toThrow(
        'The SAS token has expired',
      );
    },
    AZ_MS,
  );

  test(
    'gives one key back, and the whole pool: what was wrapped is unwrapped',
    async () => {
      expect(() => restore('--key-name', 'wrapping')).toThrow('KeyExists');
      await purge();
      restore('--key-name', 'wrapping');
      expect(await wrapping('unwrapkey', wrapped)).toBe(value);
      await purge();
      await created(admin('POST', `/keys/later/create${VERSION}`, { kty: 'EC-HSM' }));
      restore();
      expect(await wrapping('unwrapkey', wrapped)).toBe(value);
      expect((await admin('GET', `/keys/later${VERSION}`)).status).toBe(404);
    },
    AZ_MS,
  );
});
