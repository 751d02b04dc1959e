import { createHash } from 'node:crypto';
import { closeSync, constants, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

export type Release = () => Promise<void>;

/**
 * Holds a folder for this process alone; undefined where another one has it. Both ways are kernel locks that go with the
 * process: there is no stale one to detect, and so no race about it.
 * @param folder absolute, without symbolic links
 */
export function lockFolder(folder: string): Promise<Release | undefined> {
  return process.platform === 'linux' ? lockByName(folder) : Promise.resolve(lockByFile(folder));
}

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
