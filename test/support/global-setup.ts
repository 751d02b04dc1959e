import { chmod, mkdir, mkdtemp, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../../src/setup/postgres/embedded-postgres.ts';
import { findSoftHsmLibrary } from '../../src/setup/softhsm/library.ts';
import { initialiseToken, writeConfiguration } from '../../src/setup/softhsm/token.ts';
import { placeCluster } from './cluster.ts';
import { memoryFolder } from './memory-folder.ts';
import { preparedFolderOf } from './prepared-folder.ts';
import { removeRun } from './run-folder.ts';
import { offerSharedService } from './shared-service.ts';
import { PRODUCTION_TOKEN } from './softhsm.ts';

const PIN = 'the tests own this token';
const log = {
  error: (details: unknown, words?: string) => {
    process.stderr.write(`${words ?? ''} ${JSON.stringify(details)}\n`);
  },
};

/** What global-teardown.ts ends. */
export interface WithTestRun {
  endTestRun?: () => Promise<void>;
}

/** One PostgreSQL and one folder of tokens for the run. Workers inherit the environment: they are forked after this. */
export default async function globalSetup({ maxWorkers }: { maxWorkers: number }): Promise<void> {
  const inMemory = await memoryFolder();
  for (const place of [tmpdir(), inMemory ?? []].flat()) await removeAbandonedRuns(place);
  const folder = await makeRunFolder(inMemory);
  const [postgres, tokens] = await Promise.all([
    startEmbeddedPostgres(folder, log, {
      // What is written here is gone at the end of the run anyway.
      settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' },
      ownerMakesDatabases: true,
    }),
    makeTokens(folder, maxWorkers),
  ]);
  process.env['STRONGROOM_TEST_FOLDER'] = folder;
  // What suites write is in the folder of the run, and is removed with it.
  process.env['TMPDIR'] = join(folder, 'tmp');
  process.env['STRONGROOM_TEST_OWNER_URL'] = postgres.ownerUrl;
  process.env['STRONGROOM_TEST_SERVICE_URL'] = postgres.serviceUrl;
  process.env['STRONGROOM_TEST_PKCS11_MODULE'] = tokens.module;
  process.env['STRONGROOM_TEST_PKCS11_PIN'] = PIN;
  process.env['SOFTHSM2_CONF'] = tokens.configFile;
  const shared = await offerSharedService(folder);
  (globalThis as WithTestRun).endTestRun = async () => {
    try {
      await shared.close();
    } finally {
      await postgres.stop();
    }
  };
}

async function makeTokens(
  folder: string,
  workers: number,
): Promise<{ module: string; configFile: string }> {
  const module = findSoftHsmLibrary();
  const configFile = join(folder, 'softhsm2.conf');
  await mkdir(join(folder, 'tokens'));
  await writeConfiguration(configFile, join(folder, 'tokens'));
  const labels = Array.from({ length: workers }, (_, index) => `worker-${index + 1}`);
  for (const tokenLabel of [...labels, PRODUCTION_TOKEN])
    await initialiseToken({ module, configFile, tokenLabel, pin: PIN });
  return { module, configFile };
}

/** In memory where that can be: see memoryFolder(). Where root runs it, others who run PostgreSQL have to get through. */
async function makeRunFolder(inMemory: string | undefined): Promise<string> {
  const folder = await mkdtemp(join(inMemory ?? tmpdir(), `strongroom-jest-${process.pid}-`));
  await mkdir(join(folder, 'tmp'));
  if (process.getuid?.() !== 0) return folder;
  await chmod(folder, 0o711);
  if (inMemory !== undefined) {
    await placeCluster(folder, join(folder, 'cluster'));
    await placeCluster(preparedFolderOf(folder), join(folder, 'prepared-cluster'));
  }
  return folder;
}

/** Of runs that were killed before their end. */
async function removeAbandonedRuns(place: string): Promise<void> {
  for (const name of await readdir(place)) {
    const pid = Number(/^strongroom-jest-(?<pid>\d+)-/.exec(name)?.groups?.['pid']);
    if (pid > 0 && !isAlive(pid)) await removeRun(join(place, name)).catch(() => undefined);
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
