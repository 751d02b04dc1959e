import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { inWords } from '../core/operator-error.ts';
import { SetupError } from './setup-error.ts';

/** Makes a folder (and those above it) that only its owner can enter; tightens the mode of an existing one. */
export async function makePrivateFolder(path: string): Promise<void> {
  await makeFolders(resolve(path));
  await chmod(path, 0o700);
}

/** Node's own recursion never ends where the file system refuses a folder with ENOENT, as /proc does. */
async function makeFolders(path: string): Promise<void> {
  const isThere = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (isThere) return;
  if (path !== dirname(path)) await makeFolders(dirname(path));
  await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
    // Another start may have been faster.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  });
}

/**
 * Replaces a file as a whole: a reader, or a start after a crash, finds the old contents or the new. Durable when
 * this resolves.
 */
export async function writeFileAtomically(
  path: string,
  contents: string | Uint8Array,
  mode = 0o600,
): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.new-${randomBytes(6).toString('hex')}`);
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      // The umask may have taken bits away from a mode that is meant to be public.
      await file.chmod(mode);
      await file.writeFile(contents);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    const words = inWords(error);
    if (words === undefined) throw error;
    throw new SetupError(`STRONGROOM_DATA_DIR: ${path} can't be written: ${words}.`, {
      cause: error,
    });
  }
  await syncFolder(folder);
}

/** The text of a file, or undefined where there is none. @throws SetupError where there is one that can't be read */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    const words = inWords(error);
    if (words === undefined) throw error;
    throw new SetupError(`STRONGROOM_DATA_DIR: ${path} can't be read: ${words}.`, { cause: error });
  }
}

/** Makes a rename in the folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
