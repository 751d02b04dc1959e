import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { requirePlainPath } from './binaries.ts';
import { makeFolderFor, type PostgresPlace } from './place.ts';
import { syncFolder, writeFileAtomically } from '../private-file.ts';
import { SetupError } from '../setup-error.ts';

export interface RolePasswords {
  readonly owner: string;
  readonly service: string;
}

/** Nothing of the service's environment, which may hold secrets, and no locale but PostgreSQL's own. */
export const POSTGRES_ENVIRONMENT = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' } as const;

/** initdb takes a second, and on a machine that does much else a minute. */
const PROGRAM_LIMIT_MS = 180_000;

export function dataFolderOf(place: PostgresPlace): string {
  return join(place.home, 'data');
}

export function hbaFileOf(place: PostgresPlace): string {
  return join(place.home, 'pg_hba.conf');
}

/**
 * Makes the cluster with its roles and its database where there is none. It is made under another name, so that a
 * crash half-way leaves nothing that looks like a cluster.
 * @param ownerOptions further role attributes of the owner
 * @throws SetupError with PostgreSQL's own words when it fails
 */
export async function ensureCluster(
  place: PostgresPlace,
  passwords: RolePasswords,
  ownerOptions = '',
): Promise<void> {
  const data = dataFolderOf(place);
  // No superuser can log in: it has no password.
  await writeFileAtomically(hbaFileOf(place), 'local all all scram-sha-256\n', 0o644);
  if (await exists(join(data, 'PG_VERSION'))) return;
  requirePlainPath(place.binaries);
  const temporary = `${data}.new`;
  await rm(temporary, { recursive: true, force: true });
  await makeFolderFor(place.user, temporary);
  await run(place, place.binaries.initdb, [
    ...['--pgdata', temporary, '--username', 'postgres', '--auth', 'reject'],
    // The built-in locale sorts alike on every system and for ever; the C library's doesn't, which breaks indexes.
    ...['--encoding', 'UTF8', '--locale-provider', 'builtin', '--locale', 'C.UTF-8'],
    '--no-instructions',
  ]);
  // Single-user mode: no server is reachable before the roles have their passwords.
  await run(
    place,
    place.binaries.postgres,
    [
      ...['--single', '-D', temporary, '-c', 'exit_on_error=on', '-c', 'log_statement=none'],
      ...['-c', 'log_min_error_statement=panic', '-c', 'log_checkpoints=off', 'postgres'],
    ],
    roleStatements(passwords, ownerOptions),
  );
  await rename(temporary, data);
  await syncFolder(place.home);
}

/** One statement a line, as single-user mode wants it. The passwords are of our own making: no quote is in them. */
function roleStatements({ owner, service }: RolePasswords, ownerOptions: string): string {
  return [
    `CREATE ROLE strongroom_owner LOGIN CREATEROLE ${ownerOptions} PASSWORD '${owner}'`,
    `CREATE ROLE strongroom LOGIN PASSWORD '${service}'`,
    'CREATE ROLE strongroom_service NOLOGIN',
    'GRANT strongroom_service TO strongroom',
    // The owner may hand the group on, without having the group's rights itself.
    'GRANT strongroom_service TO strongroom_owner WITH ADMIN TRUE, INHERIT FALSE, SET FALSE',
    'CREATE DATABASE strongroom OWNER strongroom_owner',
    'REVOKE ALL ON DATABASE postgres FROM PUBLIC',
    '',
  ].join(';\n');
}

async function run(
  place: PostgresPlace,
  program: string,
  options: readonly string[],
  input = '',
): Promise<void> {
  const child = spawn(program, options, {
    cwd: place.home,
    env: POSTGRES_ENVIRONMENT,
    stdio: ['pipe', 'ignore', 'pipe'],
    timeout: PROGRAM_LIMIT_MS,
    ...place.user,
  });
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (words += text));
  // A program that ends early doesn't read its input; its status says what happened.
  child.stdin.on('error', () => undefined).end(input);
  const status = await statusOf(child, program);
  if (status !== 0)
    throw new SetupError(
      status === 'SIGTERM'
        ? `${program} was waited for ${PROGRAM_LIMIT_MS / 1000} s to make the database in ${place.home}, and ended: ${words.trim()}`
        : `${program} ended with ${String(status)}: ${words.trim()}`,
    );
}

async function statusOf(child: ChildProcess, program: string): Promise<unknown> {
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    return code ?? signal;
  } catch (error) {
    throw new SetupError(
      `The embedded PostgreSQL can't be run on this machine (${program}): set DATABASE_URL to a PostgreSQL 14 or newer.`,
      { cause: error },
    );
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
