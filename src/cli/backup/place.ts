import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createFolderStorage } from '../../backup/storage/folder-storage.ts';
import type { BackupStorage } from '../../core/recovery/full-backup/ports.ts';

/** Where backups are read. @param place a folder */
export function openPlace(place: string): BackupStorage {
  return createFolderStorage(resolve(place));
}

/** Where backups are written: a folder is made if there is none. */
export async function makePlace(place: string): Promise<BackupStorage> {
  await mkdir(resolve(place), { recursive: true, mode: 0o700 });
  return openPlace(place);
}
