import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ensureSystemUser } from '../../src/setup/postgres/system-user.ts';
import { freePort } from './free-port.ts';

export type PoolMode = 'session' | 'transaction' | 'statement';

export interface PgBouncer {
  readonly port: number;
  /** Of the same database, by way of PgBouncer. */
  readonly url: string;
  close(): Promise<void>;
}

const START_LIMIT_MS = 20_000;
const PROGRAM = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/opt/homebrew/bin/pgbouncer'].find(
  existsSync,
);

/** Why there is none on this machine; undefined where there is. */
export const pgBouncerIsMissing =
  PROGRAM === undefined ? "PgBouncer (Debian's package pgbouncer) is not here" : undefined;

/** PgBouncer as Debian packages it and with its own defaults, before PostgreSQL's Unix socket. */
export async function startPgBouncer(
  url: string,
  mode: PoolMode,
  /** The port of one before, whose place it takes. */
  at?: number,
): Promise<PgBouncer> {
  const [, user = '', password = '', database = '', where = ''] =
    /^postgres:\/\/([^:]+):([^@]+)@\/([^?]+)\?(.+)$/.exec(url) ?? [];
  const server = new URLSearchParams(where);
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-pgbouncer-'));
  const port = at ?? (await freePort());
  const users = join(folder, 'users');
  const log = join(folder, 'log');
  const configuration = join(folder, 'pgbouncer.ini');
  await writeFile(users, `"${user}" "${password}"\n`);
  await writeFile(
    configuration,
    `[databases]
* = host=${server.get('host') ?? ''} port=${server.get('port') ?? '5432'}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
pool_mode = ${mode}
logfile = ${log}
`,
  );
  // It refuses to run as root, and only PostgreSQL's own user gets to the socket then.
  const runAs = process.getuid?.() === 0 ? await ensureSystemUser('postgres') : undefined;
  if (runAs !== undefined) {
    for (const path of [folder, users, configuration]) await chown(path, runAs.uid, runAs.gid);
    await chmod(folder, 0o700);
  }
  const child = spawn(PROGRAM ?? 'pgbouncer', [configuration], { stdio: 'ignore', ...runAs });
  const exit = once(child, 'exit');
  const deadline = performance.now() + START_LIMIT_MS;
  while (!(await isListening(port))) {
    if (child.exitCode !== null || performance.now() > deadline)
      throw new Error(`PgBouncer does not start: ${await readFile(log, 'utf8').catch(() => '')}`);
    await delay(25);
  }
  return {
    port,
    url: `postgres://${user}:${password}@127.0.0.1:${port}/${database}`,
    async close() {
      // What other signals wait for differs between its versions, and nothing is lost.
      child.kill('SIGKILL');
      await exit;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      resolve(true);
      socket.destroy();
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}
