import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { dataFolderOf, hbaFileOf, POSTGRES_ENVIRONMENT } from './cluster.ts';
import type { PostgresPlace } from './place.ts';
import { identify, postmasterFileOf, readPostmasterFile } from './postmaster-file.ts';
import { SetupError } from '../setup-error.ts';

/** A machine that is busy with other work may take long, and one that recovers from a crash longer. */
const START_LIMIT_MS = 120_000;
const FAST_STOP_LIMIT_MS = 20_000;
const IMMEDIATE_STOP_LIMIT_MS = 5_000;
const LOOK_EVERY_MS = 10;
const RETRY_AFTER_MS = 200;

export type Settings = Readonly<Record<string, string>>;

const SETTINGS: Settings = {
  // A path of its own keeps other local users out, and no port means no clash of ports.
  listen_addresses: '',
  unix_socket_permissions: '0700',
  password_encryption: 'scram-sha-256',
  max_connections: '100',
  shared_buffers: '128MB',
  jit: 'off',
  // An answer is given when its record is durable.
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  // One file for each weekday, begun anew when its day comes round.
  logging_collector: 'on',
  log_directory: 'log',
  log_filename: 'postgresql-%a.log',
  log_rotation_age: '1d',
  log_rotation_size: '0',
  log_truncate_on_rotation: 'on',
  log_checkpoints: 'off',
  // Values of columns and parameters stay out of the log: DETAIL lines have them too, which terse leaves out.
  log_statement: 'none',
  log_min_error_statement: 'panic',
  log_min_duration_statement: '-1',
  log_parameter_max_length: '0',
  log_parameter_max_length_on_error: '0',
  log_error_verbosity: 'terse',
};

/**
 * Starts the postmaster of a cluster, and waits until it takes connections. It is in a session of its own: Ctrl-C in
 * the terminal ends the service, which may still need it while it drains.
 * @throws SetupError with PostgreSQL's own words when it doesn't start
 */
export async function startPostmaster(
  place: PostgresPlace,
  socketFolder: string,
  settings: Settings,
  limitMs = START_LIMIT_MS,
): Promise<ChildProcess> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const child = launch(place, socketFolder, settings);
    const failure = await waitUntilReady(child, place, { limitMs, deadline });
    if (failure === undefined) return child;
    // Processes of a postmaster that was killed hold its memory until they have noticed.
    const isPassing = failure.includes('still in use') && performance.now() < deadline;
    if (!isPassing) throw new SetupError(`The embedded PostgreSQL doesn't start: ${failure}`);
    await sleep(RETRY_AFTER_MS);
  }
}

/** Fast shutdown, which ends sessions; an immediate one, which the next start recovers from, where that takes too long. */
export async function stopPostmaster(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const end = once(child, 'exit');
  child.kill('SIGINT');
  if (await settlesWithin(end, FAST_STOP_LIMIT_MS)) return;
  child.kill('SIGQUIT');
  await settlesWithin(end, IMMEDIATE_STOP_LIMIT_MS);
}

/**
 * Stops the postmaster that a killed service left behind; only the holder of the data folder may call this.
 * @throws SetupError when it doesn't end
 */
export async function stopOrphan(place: PostgresPlace): Promise<void> {
  const data = dataFolderOf(place);
  const found = await readPostmasterFile(data);
  if (found === undefined) return;
  switch (await identify(found.pid, data)) {
    case 'gone':
    case 'another postgres':
      // A stale file is PostgreSQL's to judge.
      return;
    case 'something else':
      // PostgreSQL would take the process for a postmaster, since its number is in use, and refuse to start.
      await rm(postmasterFileOf(data), { force: true });
      return;
    case 'this postmaster':
      await endOrphan(found.pid, data);
      // A folder for temporary files that its service had no time to remove.
      if (dirname(found.socketFolder) !== place.home)
        await rm(found.socketFolder, { recursive: true, force: true });
  }
}

async function endOrphan(pid: number, data: string): Promise<void> {
  const steps = [
    ['SIGINT', FAST_STOP_LIMIT_MS],
    ['SIGQUIT', IMMEDIATE_STOP_LIMIT_MS],
  ] as const;
  for (const [signal, limitMs] of steps) {
    const deadline = performance.now() + limitMs;
    if (!send(pid, signal)) return;
    while (performance.now() < deadline) {
      if ((await identify(pid, data)) !== 'this postmaster') return;
      await sleep(LOOK_EVERY_MS);
    }
  }
  throw new SetupError(`An embedded PostgreSQL of an earlier start (process ${pid}) doesn't end.`);
}

function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

function startLogOf(place: PostgresPlace): string {
  return join(place.home, 'start.log');
}

function launch(place: PostgresPlace, socketFolder: string, settings: Settings): ChildProcess {
  const all: Settings = {
    ...SETTINGS,
    hba_file: hbaFileOf(place),
    unix_socket_directories: `"${socketFolder.replaceAll('"', '""')}"`,
    ...settings,
  };
  const options = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  // A file, since a pipe would break with the service; what comes after the start goes to the cluster's own log.
  const output = openSync(startLogOf(place), 'w', 0o600);
  try {
    const child = spawn(place.binaries.postgres, ['-D', dataFolderOf(place), ...options], {
      cwd: place.home,
      env: POSTGRES_ENVIRONMENT,
      stdio: ['ignore', output, output],
      detached: true,
      ...place.user,
    });
    child.on('error', () => undefined);
    child.unref();
    return child;
  } finally {
    closeSync(output);
  }
}

/** @returns undefined when it is ready, or else what went wrong */
async function waitUntilReady(
  child: ChildProcess,
  place: PostgresPlace,
  { limitMs, deadline }: { readonly limitMs: number; readonly deadline: number },
): Promise<string | undefined> {
  let seen = 'its postmaster.pid';
  while (performance.now() < deadline) {
    if (child.pid === undefined) return `its program can't be run on this machine`;
    if (hasEnded(child)) return (await readFile(startLogOf(place), 'utf8')).trim();
    const file = await readPostmasterFile(dataFolderOf(place));
    if (file?.pid === child.pid) {
      if (file.isReady) return undefined;
      seen = 'the word "ready" in its postmaster.pid';
    }
    await sleep(LOOK_EVERY_MS);
  }
  await stopPostmaster(child);
  const words = (await readFile(startLogOf(place), 'utf8')).trim();
  return `it was waited for ${limitMs / 1000} s for ${seen}${words === '' ? '' : `; its own words: ${words}`}`;
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

async function settlesWithin(event: Promise<unknown>, limitMs: number): Promise<boolean> {
  const limit = new AbortController();
  const late = sleep(limitMs, false, { signal: limit.signal }).catch(() => false);
  const isInTime = await Promise.race([event.then(() => true), late]);
  limit.abort();
  return isInTime;
}
