import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Azurite, installAzurite, startAzurite } from '../support/azurite.ts';
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
const python = makeVirtualEnvironment('python', join(HERE, 'requirements.txt'));
const missing = installAzurite() ?? python.missing;
if (missing !== undefined) console.warn(`skipped: ${missing}`);

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

(missing === undefined ? describe : describe.skip)('a full backup', () => {
  test('with Python: full_backup.py does what it says', async () => {
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
