import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { stat, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { dataFolderOf, ensureCluster, type RolePasswords } from './cluster.ts';
import { findPostgresPlace, makeSocketFolder } from './place.ts';
import { type Settings, startPostmaster, stopOrphan, stopPostmaster } from './postmaster.ts';
import { lockFolder } from '../folder-lock.ts';
import { readPostmasterFile } from './postmaster-file.ts';
import { readIfPresent, writeFileAtomically } from '../private-file.ts';
import { SetupError } from '../setup-error.ts';

export interface EmbeddedPostgres {
  /** Of the role that owns the database and migrates it. Holds a password, as does the next. */
  readonly ownerUrl: string;
  /** Of the role that the service works as. */
  readonly serviceUrl: string;
  /** Ends it and its connections, in bounded time. */
  stop(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  /** PostgreSQL settings that differ from ours. */
  readonly settings?: Settings;
  /** Lets the owner make databases; for tests, counts when the cluster is made. */
  readonly ownerMakesDatabases?: boolean;
  /** How long it may take until it takes connections. */
  readonly startLimitMs?: number;
}

const RESTART_AFTER_MS = 1_000;

/**
 * Starts the PostgreSQL of a data folder that this process holds, making its cluster the first time. One that an
 * earlier service left running is replaced; one that dies is started again.
 * @throws SetupError when it can't be made or doesn't start
 */
export async function startEmbeddedPostgres(
  folder: string,
  log: Pick<Logger, 'error'>,
  options: EmbeddedPostgresOptions = {},
): Promise<EmbeddedPostgres> {
  const place = await findPostgresPlace(folder);
  const passwords = await readPasswords(folder, dataFolderOf(place));
  const release = await lockFolder(place.home);
  if (release === undefined)
    throw new SetupError(`Another Strongroom is running on the database in ${place.home}.`);
  let socketFolder: string;
  let isStopping = false;
  let running: Promise<ChildProcess>;
  try {
    await requireNotTorn(dataFolderOf(place));
    await ensureCluster(place, passwords, options.ownerMakesDatabases === true ? 'CREATEDB' : '');
    await stopOrphan(place);
    socketFolder = await makeSocketFolder(place);
    running = start();
    await running;
  } catch (error) {
    await release();
    throw error;
  }

  function start(): Promise<ChildProcess> {
    const { settings = {}, startLimitMs } = options;
    return startPostmaster(place, socketFolder, settings, startLimitMs).then((child) => {
      child.once('exit', (status, signal) => {
        if (isStopping) return;
        log.error({ status, signal }, 'the embedded PostgreSQL ended: it is started again');
        setTimeout(restart, RESTART_AFTER_MS).unref();
      });
      return child;
    });
  }

  function restart(): void {
    if (isStopping) return;
    running = start();
    running.catch((error: unknown) => {
      log.error({ err: error }, 'the embedded PostgreSQL does not come back');
      setTimeout(restart, RESTART_AFTER_MS).unref();
    });
  }

  return {
    ownerUrl: urlOf('strongroom_owner', passwords.owner, socketFolder),
    serviceUrl: urlOf('strongroom', passwords.service, socketFolder),
    stop: async () => {
      isStopping = true;
      const child = await running.catch(() => undefined);
      if (child !== undefined) await stopPostmaster(child);
      if (dirname(socketFolder) !== place.home)
        await rm(socketFolder, { recursive: true, force: true });
      await release();
    },
  };
}

/**
 * What is copied while PostgreSQL writes it is of no one moment, and may be told by nothing but the file of the process that
 * ran.
 */
async function requireNotTorn(cluster: string): Promise<void> {
  const original = (await readPostmasterFile(cluster))?.dataFolder;
  if (original === undefined || original === cluster || !(await exists(original))) return;
  throw new SetupError(
    `The database in ${cluster} was copied from ${original} while that was running, so it may be torn. Stop that Strongroom, copy the data folder again, and start the copy.`,
  );
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/**
 * The addresses of the PostgreSQL that a service runs on this data folder now.
 * @throws SetupError when none runs
 */
export async function findRunningPostgres(
  folder: string,
): Promise<Pick<EmbeddedPostgres, 'ownerUrl' | 'serviceUrl'>> {
  const cluster = dataFolderOf(await findPostgresPlace(folder));
  const running = await readPostmasterFile(cluster);
  if (running?.isReady !== true || running.dataFolder !== cluster)
    throw new SetupError(
      `No Strongroom runs on the data folder ${folder}: start it, or set DATABASE_URL.`,
    );
  const passwords = await readPasswords(folder, cluster);
  return {
    ownerUrl: urlOf('strongroom_owner', passwords.owner, running.socketFolder),
    serviceUrl: urlOf('strongroom', passwords.service, running.socketFolder),
  };
}

async function readPasswords(folder: string, cluster: string): Promise<RolePasswords> {
  const hasCluster = await exists(cluster);
  const read = async (role: string): Promise<string> => {
    const file = join(folder, `postgres-${role}-password`);
    const known = (await readIfPresent(file))?.trim();
    if (known !== undefined && known !== '') return known;
    if (hasCluster) throw new SetupError(`The database is there but its password is not: ${file}.`);
    const password = randomBytes(24).toString('base64url');
    await writeFileAtomically(file, `${password}\n`);
    return password;
  };
  return { owner: await read('owner'), service: await read('service') };
}

function urlOf(role: string, password: string, socketFolder: string): string {
  return `postgres://${role}:${password}@/strongroom?host=${encodeURIComponent(socketFolder)}`;
}
