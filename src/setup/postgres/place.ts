import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findPostgresBinaries, makeReachable, type PostgresBinaries } from './binaries.ts';
import { makePrivateFolder, readIfPresent, writeFileAtomically } from '../private-file.ts';
import { SetupError } from '../setup-error.ts';
import { ensureSystemUser, type SystemUser } from './system-user.ts';

/** Where a cluster is, and who runs it. */
export interface PostgresPlace {
  /** Holds the cluster (`data`) and what belongs to it. */
  readonly home: string;
  readonly binaries: PostgresBinaries;
  /** Absent: the user of this process. */
  readonly user?: SystemUser;
}

const SYSTEM_FOLDER = '/var/lib/strongroom';

/**
 * Finds or makes the place of the cluster: in the data folder or, for root, below /var/lib. PostgreSQL refuses to run
 * as root, and no other user gets into root's data folder. A file in the data folder says where, so that a new data
 * folder never meets an old cluster.
 * @throws SetupError when the cluster that the data folder names is gone
 */
export async function findPostgresPlace(folder: string): Promise<PostgresPlace> {
  const binaries = await findPostgresBinaries();
  if (process.getuid?.() !== 0) {
    const home = join(folder, 'postgres');
    await makePrivateFolder(home);
    return { home, binaries };
  }
  const user = await ensureSystemUser('postgres');
  await mkdir(SYSTEM_FOLDER, { recursive: true, mode: 0o755 });
  await chmod(SYSTEM_FOLDER, 0o755);
  const home = await findSystemHome(folder);
  return { home, binaries: await makeReachable(binaries, SYSTEM_FOLDER), user };
}

/** Whether an earlier start has made a cluster for this data folder, wherever it is. */
export async function hasCluster(folder: string): Promise<boolean> {
  const location = (await readIfPresent(locationFileOf(folder)))?.trim();
  const homes = [join(folder, 'postgres'), ...(location === undefined ? [] : [location])];
  const files = await Promise.all(homes.map((home) => isThere(join(home, 'data', 'PG_VERSION'))));
  return files.includes(true);
}

/** Removes the cluster of a data folder, wherever it is. It doesn't run. */
export async function removeCluster(folder: string): Promise<void> {
  const location = (await readIfPresent(locationFileOf(folder)))?.trim();
  for (const home of [join(folder, 'postgres'), ...(location === undefined ? [] : [location])])
    await rm(home, { recursive: true, force: true });
}

function locationFileOf(folder: string): string {
  return join(folder, 'postgres-location');
}

/** Root's own, so that the user who runs PostgreSQL can't plant links in it; others may only pass through. */
async function findSystemHome(folder: string): Promise<string> {
  const locationFile = locationFileOf(folder);
  const location = (await readIfPresent(locationFile))?.trim();
  if (location !== undefined) {
    if (await isFolder(location)) {
      await requireOwner(location, folder);
      return location;
    }
    throw new SetupError(
      `The database is gone: ${locationFile} says that it is in ${location}. Restore that folder, or begin anew with another data folder.`,
    );
  }
  const home = join(SYSTEM_FOLDER, randomBytes(16).toString('hex'));
  await mkdir(home, { mode: 0o711 });
  await chmod(home, 0o711);
  await writeFileAtomically(ownerFileOf(home), await ownerLine(folder));
  await writeFileAtomically(locationFile, `${home}\n`);
  return home;
}

function ownerFileOf(home: string): string {
  return join(home, 'owner');
}

/** By its place in the file system, which a copy doesn't have, and by its path, which a restored one has again. */
async function ownerLine(folder: string): Promise<string> {
  const { dev, ino } = await stat(folder, { bigint: true });
  return `${dev}:${ino} ${folder}\n`;
}

/**
 * A copied data folder names the database of the one that it was copied from, which only that one may have. Its owner is
 * written down beside the database; another folder takes its place once that one is gone, or has another database.
 */
async function requireOwner(home: string, folder: string): Promise<void> {
  const line = await ownerLine(folder);
  const known = await readIfPresent(ownerFileOf(home));
  if (known === line) return;
  const { place = '', owner } = /^(?<place>\S+) (?<owner>.*)\n$/s.exec(known ?? '')?.groups ?? {};
  const isSame = owner === folder || line.startsWith(`${place} `);
  if (owner !== undefined && !isSame && (await hasLocation(owner, home)))
    throw new SetupError(
      `${locationFileOf(folder)} names the database of the data folder ${owner}, of which ${folder} is a copy: the database is in ${home}, and wasn't copied with it. Use the data folder ${owner}; or copy ${home} too while no Strongroom runs on it, remove the file "owner" in the copy, and write the copy's path to ${locationFileOf(folder)}.`,
    );
  await writeFileAtomically(ownerFileOf(home), line);
}

async function hasLocation(folder: string, home: string): Promise<boolean> {
  const location = await readIfPresent(locationFileOf(folder)).catch(() => undefined);
  return location?.trim() === home;
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** A folder that only the user who runs PostgreSQL (and root) can enter. */
export async function makeFolderFor(user: SystemUser | undefined, path: string): Promise<void> {
  await makePrivateFolder(path);
  if (user !== undefined) await chown(path, user.uid, user.gid);
}

/** The least that systems allow for the path of a socket, its final zero included (macOS, the BSDs). */
const SOCKET_PATH_LIMIT = 104;

/** The folder of the socket; where its path would be too long for one, a fresh one in the folder for temporary files. */
export async function makeSocketFolder(place: PostgresPlace): Promise<string> {
  const path = join(place.home, 'socket');
  const isShort = Buffer.byteLength(join(path, '.s.PGSQL.5432')) < SOCKET_PATH_LIMIT;
  const folder = isShort ? path : await mkdtemp(join(tmpdir(), 'strongroom-'));
  await makeFolderFor(place.user, folder);
  return folder;
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
