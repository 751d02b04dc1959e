import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The process id of a data folder's postmaster; NaN where there is none. */
export async function postmasterOf(folder: string): Promise<number> {
  return Number.parseInt(
    await readFile(join(await homeOf(folder), 'data', 'postmaster.pid'), 'utf8').catch(() => ''),
    10,
  );
}

/** Where the cluster of a data folder is: elsewhere for root. */
export async function homeOf(folder: string): Promise<string> {
  const location = await readFile(join(folder, 'postgres-location'), 'utf8').catch(() => undefined);
  return location?.trim() ?? join(folder, 'postgres');
}

/** Where the first start in a data folder makes the cluster: root's would be below /var/lib. */
export async function placeCluster(folder: string, home: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await mkdir(home, { mode: 0o711 });
  await writeFile(join(folder, 'postgres-location'), `${home}\n`);
}

/** Ends the postmaster of a data folder's cluster where it still runs, and removes the cluster, wherever it is. */
export async function removeCluster(folder: string): Promise<void> {
  const pid = await postmasterOf(folder);
  if (pid > 0) {
    // SIGQUIT is an immediate shutdown: nothing is worth keeping.
    for (let tries = 0; tries < 200 && signal(pid, tries === 0 ? 'SIGQUIT' : 0); tries += 1)
      await sleep(25);
  }
  await rm(await homeOf(folder), { recursive: true, force: true });
}

function signal(pid: number, kind: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, kind);
  } catch {
    return false;
  }
}

/** Of the embedded PostgreSQL below a data folder, as the user that owns the schema. */
export function ownerUrl(folder: string): Promise<string> {
  return urlOf(folder, 'strongroom_owner', 'postgres-owner-password');
}

/** As the user that the service itself is. */
export function serviceUrl(folder: string): Promise<string> {
  return urlOf(folder, 'strongroom', 'postgres-service-password');
}

async function urlOf(folder: string, user: string, passwordFile: string): Promise<string> {
  const password = (await readFile(join(folder, passwordFile), 'utf8')).trim();
  const postmaster = await readFile(join(await homeOf(folder), 'data', 'postmaster.pid'), 'utf8');
  const socket = postmaster.split('\n')[4] ?? '';
  return `postgres://${user}:${password}@/strongroom?host=${encodeURIComponent(socket)}`;
}
