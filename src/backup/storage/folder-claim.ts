import { randomBytes } from 'node:crypto';
import type { BackupStorage } from '../../core/recovery/full-backup/ports.ts';
import { folderTaken } from './storage-refusals.ts';

/** Of 32 hex digits; whatever else is found there is read no further. */
const MARK_BYTES = 16;

interface ClaimParts {
  readonly storage: Pick<BackupStorage, 'place' | 'read'>;
  /** Writes a file where there is none. @returns false where there is one */
  readonly writeNew: (path: string, content: string) => Promise<boolean>;
}

/**
 * Claims a folder of a storage that has no folders: by the file `claim` in it, which one writer alone can make.
 * @throws ServiceError Conflict where another one has made it
 */
export async function claimByFile(
  { storage, writeNew }: ClaimParts,
  folder: string,
): Promise<void> {
  const path = `${folder}/claim`;
  const mark = randomBytes(MARK_BYTES).toString('hex');
  if (await writeNew(path, mark)) return;
  // A try of this write whose answer was lost may have made it.
  let found = '';
  for await (const piece of storage.read(path)) {
    found += Buffer.from(piece).toString('latin1');
    if (found.length > mark.length) break;
  }
  if (found !== mark) throw folderTaken(folder, storage.place);
}
