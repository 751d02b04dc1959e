import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createStorageOpener } from '../../backup/storage/open-storage.ts';
import { readBackupStorage } from '../../config/setting-files.ts';
import type { BackupStorage } from '../../core/recovery/full-backup/ports.ts';
import type { CliContext } from '../cli-context.ts';

const URL_FORM = /^https?:\/\//;

/**
 * Where backups are read.
 * @param place a folder, or the URL of a container or a bucket, for which the settings have a credential
 * @throws ServiceError for a place where the settings allow none, ConfigError
 */
export async function openPlace(context: CliContext, place: string): Promise<BackupStorage> {
  const { config } = context.readSettings();
  const open = createStorageOpener(await readBackupStorage(config), () => new Date());
  return open({ place: placeOf(place) }, 'operator');
}

/** A folder's path is absolute from then on. */
export function placeOf(place: string): string {
  return URL_FORM.test(place) ? place : resolve(place);
}

/** Where backups are to be written: a folder is made if there is none. */
export async function makeFolder(place: string): Promise<void> {
  if (!URL_FORM.test(place)) await mkdir(resolve(place), { recursive: true, mode: 0o700 });
}
