import { ServiceError } from '../../errors.ts';
import type { BackupStorage } from './ports.ts';

/**
 * A storage whose reads end where nothing comes for so long: whoever names the storage may have it answer slowly, or never.
 * @param limitMs between two pieces
 */
export function withReadLimit(storage: BackupStorage, limitMs: number): BackupStorage {
  return {
    place: storage.place,
    read: (path) => limited(storage.read(path), storage.place, limitMs),
    write: (path, content) => storage.write(path, content),
    listFolders: (prefix) => storage.listFolders(prefix),
    removeFolder: (folder) => storage.removeFolder(folder),
    claimFolder: (folder) => storage.claimFolder(folder),
    check: () => storage.check(),
    close: () => storage.close(),
  };
}

async function* limited(
  content: AsyncIterable<Uint8Array>,
  place: string,
  limitMs: number,
): AsyncGenerator<Uint8Array> {
  const pieces = content[Symbol.asyncIterator]();
  const state = { isSilent: false };
  try {
    for (;;) {
      let timer: NodeJS.Timeout | undefined;
      const silence = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => {
          state.isSilent = true;
          reject(
            new ServiceError(
              'StorageUnavailable',
              `${place} has sent nothing for ${limitMs / 1_000} seconds.`,
            ),
          );
        }, limitMs);
      });
      const piece = await Promise.race([pieces.next(), silence]).finally(() => {
        clearTimeout(timer);
      });
      if (piece.done === true) return;
      yield piece.value;
    }
  } finally {
    // What is waited for would be waited for once more: the storage is closed when its job ends.
    if (!state.isSilent) await pieces.return?.();
  }
}
