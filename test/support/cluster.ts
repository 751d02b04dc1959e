import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Ends the postmaster of a data folder's cluster where it still runs, and removes the cluster, wherever it is. */
export async function removeCluster(folder: string): Promise<void> {
  const location = await readFile(join(folder, 'postgres-location'), 'utf8').catch(() => undefined);
  const home = location?.trim() ?? join(folder, 'postgres');
  const file = await readFile(join(home, 'data', 'postmaster.pid'), 'utf8').catch(() => '');
  const pid = Number.parseInt(file, 10);
  if (pid > 0) {
    // SIGQUIT is an immediate shutdown: nothing is worth keeping.
    for (let tries = 0; tries < 200 && signal(pid, tries === 0 ? 'SIGQUIT' : 0); tries += 1)
      await sleep(25);
  }
  await rm(home, { recursive: true, force: true });
}

function signal(pid: number, kind: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, kind);
  } catch {
    return false;
  }
}
