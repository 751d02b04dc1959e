import { realpath } from 'node:fs/promises';
import { inWords } from '../core/operator-error.ts';
import { lockFolder, type Release } from './folder-lock.ts';
import { makePrivateFolder } from './private-file.ts';
import { SetupError } from './setup-error.ts';

export interface DataFolder {
  /** Absolute, without symbolic links. */
  readonly path: string;
  /** Lets another process have the folder; the end of this process, however it comes, does the same. */
  readonly release: Release;
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
    throw new SetupError(
      `STRONGROOM_DATA_DIR: the data folder ${path} can't be made or closed to others: ${inWords(error) ?? String(error)}.`,
      { cause: error },
    );
  }
  const release = await lockFolder(folder);
  if (release === undefined)
    throw new SetupError(`Another Strongroom is running on the data folder ${folder}.`);
  return { path: folder, release };
}
