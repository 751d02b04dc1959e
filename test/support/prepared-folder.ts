import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { homeOf } from './cluster.ts';
import { fromGlobalSetup } from './environment.ts';
import { onceARun } from './once-a-run.ts';
import { makeDataFolder, startService } from './service.ts';

const run = promisify(execFile);

/** In the folder of a run, and removed with it. */
export function preparedFolderOf(runFolder: string): string {
  return join(runFolder, 'prepared');
}

/** A data folder of a service that has started for the first time and ended: cluster, token, keys and administrator are there. */
async function prepareDataFolder(): Promise<string> {
  const folder = preparedFolderOf(fromGlobalSetup('STRONGROOM_TEST_FOLDER'));
  const service = await startService(folder, { STRONGROOM_WORKERS: '1' });
  await service.stop();
  return folder;
}

/**
 * A copy of the one that was prepared for this run, which starts in half the time. It is made as the service itself tells
 * those to do it who want a copy: root's cluster is elsewhere, and a copy of it belongs to nobody until it is used.
 */
export async function makePreparedFolder(): Promise<string> {
  const original = await onceARun('prepared-folder', prepareDataFolder);
  const folder = await makeDataFolder();
  await run('cp', ['-a', `${original}/.`, folder]);
  const home = await homeOf(original);
  if (dirname(home) !== original) {
    const copy = join(dirname(home), randomBytes(16).toString('hex'));
    await run('cp', ['-a', home, copy]);
    await rm(join(copy, 'owner'));
    await writeFile(join(folder, 'postgres-location'), `${copy}\n`);
  }
  return folder;
}
