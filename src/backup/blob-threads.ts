import { Piscina } from 'piscina';
import { ServiceError } from '../core/errors.ts';
import type { BlobProtector, OpenedBackup } from '../core/recovery/ports.ts';
import { BLOB_BEGINNING } from './backup-blob.ts';
import type { BlobTask } from './blob-thread.ts';

/** Blobs that wait for the thread, at most: each may have megabytes. */
const WAITING = 8;
/** Threads end when nothing has been asked of them for so long. Milliseconds. */
const IDLE_MS = 10_000;

export interface BlobThreads extends BlobProtector {
  close(): Promise<void>;
}

/**
 * Backup blobs are made and opened in a thread beside the event loop: of one with megabytes, base64url and JSON alone would
 * hold it for half a second. One at a time, so that requests keep the other cores.
 */
export function createBlobThreads(): BlobThreads {
  const pool = new Piscina<BlobTask, string | OpenedBackup | undefined>({
    filename: new URL('./blob-thread.js', import.meta.url).href,
    minThreads: 0,
    maxThreads: 1,
    maxQueue: WAITING,
    idleTimeout: IDLE_MS,
    // Flags by which this process was started are about its own script.
    execArgv: [],
  });

  async function ask(
    task: BlobTask,
    transferList: ArrayBuffer[] = [],
  ): Promise<string | OpenedBackup | undefined> {
    if (pool.queueSize >= WAITING)
      throw new ServiceError('Overloaded', 'Too many backups and restores wait already.');
    return pool.run(task, { transferList });
  }

  return {
    async protect(key, contents) {
      return (await ask({ do: 'protect', key, contents })) as string;
    },
    async open(keys, blob) {
      if (!BLOB_BEGINNING.equals(blob.subarray(0, BLOB_BEGINNING.length))) return undefined;
      // Moved rather than written down and read again; a copy, since the bytes may be a part of others'.
      const copy = new Uint8Array(blob);
      const opened = await ask({ do: 'open', keys, blob: copy }, [copy.buffer]);
      return opened as OpenedBackup | undefined;
    },
    close: () => pool.destroy(),
  };
}
