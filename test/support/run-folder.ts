import { rm } from 'node:fs/promises';
import { removeCluster } from './cluster.ts';
import { preparedFolderOf } from './prepared-folder.ts';

/** Ends and removes all that a test run has left. */
export async function removeRun(folder: string): Promise<void> {
  await removeCluster(preparedFolderOf(folder));
  await removeCluster(folder);
  await rm(folder, { recursive: true, force: true });
}
