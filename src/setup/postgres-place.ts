import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, mkdtemp, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findPostgresBinaries, makeReachable, type PostgresBinaries } from './postgres-binaries.ts';
import { makePrivateFolder, readIfPresent, writeFileAtomically } from './private-file.ts';
import { SetupError } from './setup-error.ts';
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
  const home = await findSystemHome(join(folder, 'postgres-location'));
  return { home, binaries: await makeReachable(binaries, SYSTEM_FOLDER), user };
}

/** Root's own, so that the user who runs PostgreSQL can't plant links in it; others may only pass through. */
async function findSystemHome(locationFile: string): Promise<string> {
  const location = (await readIfPresent(locationFile))?.trim();
  if (location !== undefined) {
    if (await isFolder(location)) return location;
    throw new SetupError(
      `The database is gone: ${locationFile} says that it is in ${location}. Restore that folder, or begin anew with another data folder.`,
    );
  }
  const home = join(SYSTEM_FOLDER, randomBytes(16).toString('hex'));
  await mkdir(home, { mode: 0o711 });
  await chmod(home, 0o711);
  await writeFileAtomically(locationFile, `${home}\n`);
  return home;
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
