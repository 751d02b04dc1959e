import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, opendir, realpath, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError } from '../../core/errors.ts';
import { inWords } from '../../core/operator-error.ts';
import type { BackupStorage } from '../../core/recovery/full-backup/ports.ts';
import { backupNotFound, folderTaken, STORAGE_LIMITS, tooManyFolders } from './storage-refusals.ts';
import { partsOf } from '../../core/recovery/full-backup/storage-path.ts';
import { watchContent } from './watched-content.ts';

const READ_BYTES = 256 * 1024;

/**
 * A folder of this machine, or of a file system that it has mounted. Files are its owner's alone.
 * @param root absolute; it is there
 */
export function createFolderStorage(root: string): BackupStorage {
  /** Calls the file system; what it refuses is said with its words and the place. */
  async function asking<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      throw refused(root, error);
    }
  }

  /** Where a folder truly is: no link in the storage leads out of it. */
  async function inside(parts: readonly string[]): Promise<string> {
    const folder = join(await realpath(root), ...parts);
    if ((await realpath(folder)) === folder) return folder;
    throw new ServiceError('StorageRefused', `${root}: links in it are not followed.`);
  }

  return {
    place: root,

    async write(path, given) {
      const content = watchContent(given);
      await asking(async () => {
        const parts = partsOf(path);
        const name = parts.at(-1) ?? '';
        await makeFolders(root, parts.slice(0, -1));
        const folder = await inside(parts.slice(0, -1));
        const temporary = join(folder, `.new-${randomBytes(6).toString('hex')}`);
        try {
          await writeDurably(temporary, content);
          await rename(temporary, join(folder, name));
        } catch (error) {
          await rm(temporary, { force: true });
          throw error;
        }
        for (let depth = parts.length - 1; depth >= 0; depth -= 1)
          await syncFolder(join(root, ...parts.slice(0, depth)));
      }).catch((error: unknown) => {
        throw content.failure === undefined ? error : content.failure.error;
      });
    },

    async *read(path) {
      const file = await asking(async () => {
        const parts = partsOf(path);
        const folder = await inside(parts.slice(0, -1));
        return openFile(join(folder, parts.at(-1) ?? ''));
      }).catch((error: unknown) => {
        throw error instanceof ServiceError && isAbsent(error.cause)
          ? backupNotFound(path, root, error)
          : error;
      });
      try {
        for (;;) {
          const { bytesRead, buffer } = await asking(() =>
            file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES),
          );
          if (bytesRead === 0) return;
          yield buffer.subarray(0, bytesRead);
        }
      } finally {
        await file.close();
      }
    },

    listFolders: (prefix) =>
      asking(async () => {
        const folders: string[] = [];
        for await (const entry of await opendir(root)) {
          if (!entry.isDirectory() || !entry.name.startsWith(prefix)) continue;
          if (folders.length === STORAGE_LIMITS.folders) throw tooManyFolders(root);
          folders.push(entry.name);
        }
        return folders.sort();
      }),

    removeFolder: (folder) =>
      asking(async () => {
        const parts = partsOf(folder);
        const path = await inside(parts).catch((error: unknown) => {
          if (isAbsent(error)) return undefined;
          throw error;
        });
        if (path === undefined) return;
        await rm(path, { recursive: true, force: true });
        await syncFolder(join(root, ...parts.slice(0, -1)));
      }),

    claimFolder: (folder) =>
      asking(async () => {
        const parts = partsOf(folder);
        await makeFolders(root, parts.slice(0, -1));
        const parent = await inside(parts.slice(0, -1));
        try {
          await mkdir(join(parent, parts.at(-1) ?? ''), { mode: 0o700 });
        } catch (error) {
          throw isThere(error) ? folderTaken(folder, root, error) : error;
        }
        await syncFolder(parent);
      }),

    check: () =>
      asking(async () => {
        const file = join(root, `.check-${randomBytes(6).toString('hex')}`);
        try {
          await writeDurably(file, [Buffer.from('Strongroom')]);
        } finally {
          await rm(file, { force: true });
        }
      }),

    close: () => Promise.resolve(),
  };
}

/**
 * Whoever may write there may have put anything in a file's place. Opening a FIFO would wait for its writer, in a thread of
 * Node's that nothing gives back.
 * @throws as for a file that isn't there, where it is no file
 */
async function openFile(path: string): Promise<FileHandle> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const isFile = await file.stat().then((status) => status.isFile());
  if (isFile) return file;
  await file.close();
  throw Object.assign(new Error(`${path} is no file`), { code: 'ENOENT' });
}

async function writeDurably(
  path: string,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const piece of content) await writeWhole(file, piece);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A write may take a part. */
async function writeWhole(file: FileHandle, piece: Uint8Array): Promise<void> {
  for (let done = 0; done < piece.length;)
    done += (await file.write(piece, done, piece.length - done)).bytesWritten;
}

/** One by one: Node's own recursion would make the root, and never ends where a file system refuses with ENOENT. */
async function makeFolders(root: string, parts: readonly string[]): Promise<void> {
  for (const [index] of parts.entries())
    await mkdir(join(root, ...parts.slice(0, index + 1)), { mode: 0o700 }).catch(
      (error: unknown) => {
        if (!isThere(error)) throw error;
      },
    );
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

const isAbsent = (error: unknown) =>
  (error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';

const isThere = (error: unknown) => (error as NodeJS.ErrnoException | undefined)?.code === 'EEXIST';

/** The content's own errors pass. */
function refused(root: string, error: unknown): unknown {
  const words = inWords(error);
  if (error instanceof ServiceError || words === undefined) return error;
  return new ServiceError('StorageRefused', `${root}: ${words}.`, { cause: error });
}
