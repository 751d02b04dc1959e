import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dataFolderOf, ensureCluster, hbaFileOf } from '../../src/setup/postgres/cluster.ts';
import {
  findPostgresPlace,
  makeSocketFolder,
  type PostgresPlace,
} from '../../src/setup/postgres/place.ts';
import { type DatabaseCertificates, makeDatabaseCertificates } from './database-certificates.ts';
import { freePort } from './free-port.ts';
import type { Machine } from './machines.ts';
import { startPostmaster, stopPostmaster } from '../../src/setup/postgres/postmaster.ts';

const PASSWORDS = { owner: 'owner-of-a-test', service: 'service-of-a-test' };
const STANDBY = 'standby';
const SETTINGS = { shared_buffers: '32MB', wal_level: 'replica' };

export interface PostgresPair {
  /** Of both, as libpq writes several hosts. */
  readonly ownerUrl: string;
  readonly serviceUrl: string;
  /** Of the one that is the primary at first, and of the other. */
  readonly urls: readonly [string, string];
  readonly primaryPid: number | undefined;
  readonly standbyPid: number | undefined;
  readonly certificates: DatabaseCertificates;
  /** Of the primary by TCP, where a server takes TLS alone, and a certificate of the client. @param host that is this machine */
  tlsUrl(host: string, parameters: Readonly<Record<string, string>>): string;
  /** The same of several, in that order. @param servers which of the two, and by which host */
  tlsUrlOf(
    servers: readonly (readonly ['first' | 'second', string])[],
    parameters: Readonly<Record<string, string>>,
  ): string;
  /** As a machine that loses its power. */
  killPrimary(): Promise<void>;
  /** Neither goes on nor closes anything. */
  freezePrimary(): void;
  thawPrimary(): void;
  stopStandby(): Promise<void>;
  /** @param settings besides those of before */
  startStandby(settings?: Readonly<Record<string, string>>): Promise<void>;
  freezeStandby(): void;
  thawStandby(): void;
  promoteStandby(): Promise<void>;
  remove(): Promise<void>;
}

/** A PostgreSQL, and a synchronous standby of it: what the one acknowledges, the other has. */
export async function startPostgresPair(
  /** Where each is, if not on this machine: they can be reached there by TCP, and by no socket. */
  machines?: readonly [Machine, Machine],
): Promise<PostgresPair> {
  const folders = await Promise.all([1, 2].map(() => mkdtemp(join(tmpdir(), 'strongroom-pair-'))));
  const [first, second] = (await Promise.all(folders.map(findPostgresPlace))) as [
    PostgresPlace,
    PostgresPlace,
  ];
  await ensureCluster(first, PASSWORDS, 'CREATEDB REPLICATION');
  await cp(dataFolderOf(first), dataFolderOf(second), {
    recursive: true,
    preserveTimestamps: true,
  });
  const sockets = [await makeSocketFolder(first), await makeSocketFolder(second)] as const;
  const certificates = await makeDatabaseCertificates(dataFolderOf(first));
  for (const place of [first, second])
    await writeFile(
      hbaFileOf(place),
      [
        'local all all scram-sha-256',
        'local replication strongroom_owner scram-sha-256',
        'hostssl all strongroom 127.0.0.1/32 scram-sha-256 clientcert=verify-full',
        ...(machines === undefined
          ? []
          : ['host all all samenet scram-sha-256', 'host replication all samenet scram-sha-256']),
        '',
      ].join('\n'),
    );
  await writeFile(join(dataFolderOf(second), 'standby.signal'), '');
  for (const place of [first, second]) ownAll(place);

  const hosts =
    machines === undefined
      ? sockets
      : ([machines[0].databaseAddress, machines[1].databaseAddress] as const);
  const addressOf = (index: 0 | 1, port: number) => ({
    listen_addresses: machines?.[index].databaseAddress ?? '127.0.0.1',
    port: String(port),
  });
  const start = async (
    place: PostgresPlace,
    index: 0 | 1,
    settings: Readonly<Record<string, string>>,
  ) =>
    startPostmaster(
      machines === undefined ? place : await onMachine(place, machines[index]),
      sockets[index],
      { ...SETTINGS, ...settings },
    );
  const ports = machines === undefined ? [await freePort(), await freePort()] : [5432, 5432];
  const [firstPort = 0, secondPort = 0] = ports;
  const tls = {
    ssl: 'on',
    ssl_cert_file: certificates.server.certificate,
    ssl_key_file: certificates.server.key,
    ssl_ca_file: certificates.authority,
  };
  const primary = await start(first, 0, {
    ...addressOf(0, firstPort),
    ...tls,
    synchronous_standby_names: STANDBY,
  });
  const startStandby = (settings: Readonly<Record<string, string>> = {}) =>
    start(second, 1, {
      ...settings,
      ...tls,
      ...addressOf(1, secondPort),
      primary_conninfo: `host=${hosts[0]} port=${firstPort} user=strongroom_owner password=${PASSWORDS.owner} application_name=${STANDBY}`,
    });
  let standby: ChildProcess = await startStandby();
  const url = (user: string, password: string, ...indexes: readonly number[]) => {
    const list = (of: readonly unknown[]) => indexes.map((index) => of[index]).join(',');
    const where = new URLSearchParams({ host: list(hosts), port: list(ports) });
    return `postgres://${user}:${password}@/strongroom?${where.toString()}`;
  };
  const tlsUrlOf: PostgresPair['tlsUrlOf'] = (servers, parameters) => {
    const at = servers.map(
      ([which, host]) => `${host}:${which === 'first' ? firstPort : secondPort}`,
    );
    return `postgres://strongroom:${PASSWORDS.service}@${at.join(',')}/strongroom?${new URLSearchParams(parameters).toString()}`;
  };
  return {
    ownerUrl: url('strongroom_owner', PASSWORDS.owner, 0, 1),
    serviceUrl: url('strongroom', PASSWORDS.service, 0, 1),
    urls: [url('strongroom', PASSWORDS.service, 0), url('strongroom', PASSWORDS.service, 1)],
    primaryPid: primary.pid,
    get standbyPid() {
      return standby.pid;
    },
    certificates,
    tlsUrl: (host, parameters) => tlsUrlOf([['first', host]], parameters),
    tlsUrlOf,
    async killPrimary() {
      const end = once(primary, 'exit');
      primary.kill('SIGQUIT');
      await end;
    },
    freezePrimary() {
      signalAll(primary, 'SIGSTOP');
    },
    thawPrimary() {
      signalAll(primary, 'SIGCONT');
    },
    stopStandby: () => stopPostmaster(standby),
    async startStandby(settings) {
      standby = await startStandby(settings);
    },
    freezeStandby() {
      signalAll(standby, 'SIGSTOP');
    },
    thawStandby() {
      signalAll(standby, 'SIGCONT');
    },
    async promoteStandby() {
      await writeFile(join(dataFolderOf(second), 'promote'), '');
      standby.kill('SIGUSR1');
    },
    async remove() {
      for (const server of [primary, standby]) signalAll(server, 'SIGCONT');
      await Promise.all([primary, standby].map(stopPostmaster));
      for (const path of [first.home, second.home, ...folders, ...sockets])
        await rm(path, { recursive: true, force: true });
    },
  };
}

function ownAll({ home, user }: PostgresPlace): void {
  if (user !== undefined)
    execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, join(home, 'data')]);
}

/** Its processes are in sessions of their own. */
function signalAll({ pid, exitCode }: ChildProcess, signal: 'SIGSTOP' | 'SIGCONT'): void {
  if (pid === undefined || exitCode !== null) return;
  process.kill(pid, signal);
  try {
    execFileSync('pkill', [`-${signal.slice(3)}`, '-P', String(pid)]);
  } catch {
    // It has none.
  }
}

/** The same, run there: `ip` wants to be root, and PostgreSQL doesn't. */
async function onMachine(place: PostgresPlace, { namespace }: Machine): Promise<PostgresPlace> {
  const { user, home, binaries } = place;
  if (user === undefined) throw new Error('machines are for root');
  const program = join(home, 'postgres-there');
  const as = `setpriv --reuid=${user.uid} --regid=${user.gid} --clear-groups`;
  await writeFile(
    program,
    `#!/bin/sh\nexec /usr/sbin/ip netns exec ${namespace} ${as} '${binaries.postgres}' "$@"\n`,
    { mode: 0o755 },
  );
  return { home, binaries: { ...binaries, postgres: program } };
}
