import { createHash } from 'node:crypto';
import { closeSync, constants, openSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { makePrivateFolder } from './private-file.ts';
import { SetupError } from './setup-error.ts';

export interface DataFolder {
  /** Absolute, without symbolic links. */
  readonly path: string;
  /** Lets another process have the folder; the end of this process, however it comes, does the same. */
  release(): Promise<void>;
}

/**
 * Makes the data folder where it is missing, closes it to other users, and holds it for this process alone.
 * @throws SetupError when another process holds it, or it can't be made
 */
export async function openDataFolder(path: string): Promise<DataFolder> {
  let folder: string;
  try {
    await makePrivateFolder(path);
    folder = await realpath(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new SetupError(`The data folder ${path} can't be made or closed to others (${code}).`, {
      cause: error,
    });
  }
  // Both are kernel locks that go with the process: there is no stale one to detect, and so no race about it.
  const release = process.platform === 'linux' ? await lockByName(folder) : lockByFile(folder);
  if (release === undefined)
    throw new SetupError(`Another Strongroom is running on the data folder ${folder}.`);
  return { path: folder, release };
}

type Release = () => Promise<void>;

/** A name in Linux's abstract socket namespace can be bound once. */
async function lockByName(folder: string): Promise<Release | undefined> {
  const name = `\0strongroom-${createHash('sha256').update(folder).digest('hex')}`;
  const server = createServer((socket) => socket.destroy());
  const isFree = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    server.listen({ path: name, exclusive: true }, () => {
      resolve(true);
    });
  });
  if (!isFree) return undefined;
  server.unref();
  return () =>
    new Promise((resolve) => {
      server.close(() => {
        resolve();
      });
    });
}

/** O_EXLOCK of macOS and the BSDs (0x20 in their <fcntl.h>), which Node has no name for. */
const O_EXLOCK = 0x20;

function lockByFile(folder: string): Release | undefined {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK | O_EXLOCK;
  try {
    // A bare descriptor: a FileHandle would be closed, and the lock lost, when it is garbage collected.
    const descriptor = openSync(join(folder, 'lock'), flags, 0o600);
    return () => {
      closeSync(descriptor);
      return Promise.resolve();
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw error;
  }
}
