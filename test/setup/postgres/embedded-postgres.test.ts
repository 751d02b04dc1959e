import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { pino } from 'pino';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../../src/setup/postgres/embedded-postgres.ts';
import {
  findPostgresBinaries,
  makeReachable,
  requirePlainPath,
} from '../../../src/setup/postgres/binaries.ts';
import { ensureSystemUser } from '../../../src/setup/postgres/system-user.ts';
import { identify } from '../../../src/setup/postgres/postmaster-file.ts';
import { killAndWait, startScript } from '../../support/child-script.ts';
import { removeCluster } from '../../support/cluster.ts';

const log = pino({ level: 'silent' });
let parent: string;
/** One for all tests, each of which begins and ends with nothing running on it: a cluster takes seconds to make. */
let folder: string;
let running: EmbeddedPostgres | undefined;

beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  folder = join(parent, 'closed', 'data');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(join(parent, 'closed'), 0o700);
});

afterEach(async () => {
  await running?.stop();
  running = undefined;
});

afterAll(async () => {
  await removeCluster(folder);
  await rm(parent, { recursive: true, force: true });
});

async function start(): Promise<EmbeddedPostgres> {
  running = await startEmbeddedPostgres(folder, log);
  return running;
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Where the cluster is: elsewhere for root, whose folders PostgreSQL's own user can't enter. */
async function home(): Promise<string> {
  return process.getuid?.() === 0
    ? (await readFile(join(folder, 'postgres-location'), 'utf8')).trim()
    : join(folder, 'postgres');
}

/** A folder that every user may pass through, with nothing in it yet. */
async function openPlace(): Promise<string> {
  await chmod(parent, 0o755);
  const place = await mkdtemp(join(parent, 'open-'));
  await chmod(place, 0o755);
  return place;
}

async function postmasterPid(): Promise<number> {
  return Number.parseInt(await readFile(join(await home(), 'data', 'postmaster.pid'), 'utf8'), 10);
}

describe('the embedded PostgreSQL', () => {
  test('keeps its data over a restart', async () => {
    const first = await start();
    await query(first.ownerUrl, 'CREATE TABLE kept AS SELECT 42 AS answer');
    await first.stop();
    const second = await start();
    expect(await query(second.ownerUrl, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
  });

  test('that does not come up is ended, and a sentence says what was waited for, and how long', async () => {
    await (await start()).stop();
    // A standby that gets nothing to apply never says that it is ready.
    const signal = join(await home(), 'data', 'standby.signal');
    await writeFile(signal, '');
    await expect(
      startEmbeddedPostgres(folder, log, {
        settings: { hot_standby: 'off', restore_command: 'false' },
        startLimitMs: 2_000,
      }),
    ).rejects.toMatchObject({
      name: 'SetupError',
      message: expect.stringMatching(
        /^The embedded PostgreSQL doesn't start: it was waited for 2 s for (the word "ready" in )?its postmaster\.pid/,
      ),
    });
    expect(await postmasterPid().catch(() => 'none')).toBe('none');
    await rm(signal);
    expect(await query((await start()).ownerUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('gives the service no rights but those of its group', async () => {
    const { serviceUrl, ownerUrl } = await start();
    expect(
      await query(
        serviceUrl,
        `SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,
                pg_has_role('strongroom_service', 'usage') AS in_group
           FROM pg_roles WHERE rolname = current_user`,
      ),
    ).toEqual([
      {
        rolsuper: false,
        rolcreaterole: false,
        rolcreatedb: false,
        rolreplication: false,
        rolbypassrls: false,
        in_group: true,
      },
    ]);
    await query(ownerUrl, 'CREATE TABLE owned (id int)');
    await expect(query(serviceUrl, 'SELECT * FROM owned')).rejects.toMatchObject({ code: '42501' });
    await query(ownerUrl, 'GRANT SELECT ON owned TO strongroom_service');
    expect(await query(serviceUrl, 'SELECT * FROM owned')).toEqual([]);
    await expect(query(serviceUrl, 'CREATE TABLE mine (id int)')).rejects.toMatchObject({
      code: '42501',
    });
  });

  test('lets the owner hand the group on, and do what migrations do', async () => {
    const { ownerUrl } = await start();
    expect(
      await query(
        ownerUrl,
        `SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user`,
      ),
    ).toEqual([{ rolsuper: false, rolcreaterole: true }]);
    await expect(query(ownerUrl, 'GRANT strongroom_service TO strongroom')).resolves.toEqual([]);
    await expect(query(ownerUrl, 'CREATE ROLE another NOLOGIN')).resolves.toEqual([]);
  });

  test('refuses a wrong password, a missing one, and its superuser', async () => {
    const { serviceUrl } = await start();
    const wrong = serviceUrl.replace(/:[^:@]+@/, ':wrong@');
    await expect(query(wrong, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
    const superuser = serviceUrl.replace('//strongroom:', '//postgres:');
    await expect(query(superuser, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
  });

  test('listens on no port, and promises durability', async () => {
    const { serviceUrl } = await start();
    const names = ['listen_addresses', 'fsync', 'synchronous_commit', 'full_page_writes'];
    const list = names.map((name) => `'${name}'`).join(',');
    expect(
      await query(
        serviceUrl,
        `SELECT name, setting FROM pg_settings WHERE name IN (${list}) ORDER BY 1`,
      ),
    ).toEqual([
      { name: 'fsync', setting: 'on' },
      { name: 'full_page_writes', setting: 'on' },
      { name: 'listen_addresses', setting: '' },
      { name: 'synchronous_commit', setting: 'on' },
    ]);
  });

  test('writes no value of a failing statement to its log', async () => {
    const postgres = await start();
    const { ownerUrl } = postgres;
    await query(ownerUrl, 'CREATE TABLE once (value text PRIMARY KEY)');
    const client = new pg.Client({ connectionString: ownerUrl });
    await client.connect();
    const insert = () => client.query('INSERT INTO once VALUES ($1)', ['a-bound-value']);
    await insert();
    await expect(insert()).rejects.toMatchObject({ code: '23505' });
    await client.end();
    await postgres.stop();
    const weekday = new Date().toLocaleDateString('en', { weekday: 'short', timeZone: 'UTC' });
    const text = await readFile(
      join(await home(), 'data/log', `postgresql-${weekday}.log`),
      'utf8',
    );
    expect(text).toContain('duplicate key');
    expect(text).not.toContain('a-bound-value');
    expect(text).not.toContain('INSERT INTO');
  });

  test('shows its passwords and its files to nobody else', async () => {
    await start();
    for (const role of ['owner', 'service'])
      expect((await stat(join(folder, `postgres-${role}-password`))).mode & 0o777).toBe(0o600);
    for (const name of ['data', 'socket'])
      expect((await stat(join(await home(), name))).mode & 0o777).toBe(0o700);
  });

  test('replaces a postmaster that a killed service left behind', async () => {
    const killed = await startScript(`
      const { startEmbeddedPostgres } = await import(MODULES + 'setup/postgres/embedded-postgres.js');
      await startEmbeddedPostgres(${JSON.stringify(folder)}, console);
    `);
    const orphan = await postmasterPid();
    await killAndWait(killed);
    const data = join(await home(), 'data');
    expect(await identify(orphan, data)).toBe('this postmaster');
    const second = await start();
    expect(await postmasterPid()).not.toBe(orphan);
    expect(await identify(orphan, data)).not.toBe('this postmaster');
    expect(await query(second.serviceUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('comes back by itself when its postmaster is killed', async () => {
    const { serviceUrl } = await start();
    process.kill(await postmasterPid(), 'SIGKILL');
    const deadline = performance.now() + 15_000;
    let rows: unknown;
    while (rows === undefined && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      rows = await query(serviceUrl, 'SELECT 1 AS one').catch(() => undefined);
    }
    expect(rows).toEqual([{ one: 1 }]);
  });

  test('starts although the process id of the last postmaster is now that of another program', async () => {
    await (await start()).stop();
    const data = join(await home(), 'data');
    const other: ChildProcess = spawn('sleep', ['60']);
    await once(other, 'spawn');
    try {
      await writeFile(join(data, 'postmaster.pid'), `${String(other.pid)}\n${data}\n`);
      const { serviceUrl } = await start();
      expect(await query(serviceUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
      expect(other.exitCode ?? other.signalCode).toBeNull();
    } finally {
      other.kill();
    }
  });

  test('begins anew when the first start was cut off half-way', async () => {
    await (await start()).stop();
    const data = join(await home(), 'data');
    await rm(data, { recursive: true });
    await mkdir(`${data}.new`);
    await writeFile(join(`${data}.new`, 'half'), '');
    const { serviceUrl } = await start();
    expect(await query(serviceUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('uses its programs in place where every user can run them', async () => {
    const binaries = { initdb: '/usr/bin/initdb', postgres: '/usr/bin/postgres' };
    expect(await makeReachable(binaries, parent)).toBe(binaries);
  });

  test.each(['"', '$', '`', '\\'])(
    'uses its programs elsewhere where their path has %s, which initdb hands to a shell',
    async (character) => {
      const place = await openPlace();
      const source = join(place, `a${character}b`);
      await mkdir(join(source, 'bin'), { recursive: true });
      const binaries = {
        initdb: join(source, 'bin/initdb'),
        postgres: join(source, 'bin/postgres'),
      };
      for (const file of Object.values(binaries)) await writeFile(file, '');
      const copy = await makeReachable(binaries, place);
      expect(dirname(dirname(dirname(copy.initdb)))).toBe(place);
      expect(dirname(dirname(copy.initdb))).not.toBe(source);
      expect(() => {
        requirePlainPath(binaries);
      }).toThrow('Move Strongroom, or set DATABASE_URL');
    },
  );
});

const describeForRoot = process.getuid?.() === 0 ? describe : describe.skip;

describeForRoot('the embedded PostgreSQL of a service that root runs', () => {
  test('refuses to make a new cluster in place of one that is gone', async () => {
    await (await start()).stop();
    running = undefined;
    await removeCluster(folder);
    await expect(start()).rejects.toMatchObject({ name: 'SetupError' });
  });

  test('copies its programs to where PostgreSQL’s user can run them', async () => {
    const original = await findPostgresBinaries();
    const closed = join(parent, 'closed', 'native');
    await cp(dirname(dirname(original.postgres)), closed, {
      recursive: true,
      verbatimSymlinks: true,
    });
    const place = await openPlace();
    const copy = await makeReachable(
      { initdb: join(closed, 'bin/initdb'), postgres: join(closed, 'bin/postgres') },
      place,
    );
    expect(copy.postgres).toMatch(/\/postgres-[\w.-]+\/bin\/postgres$/);
    const user = await ensureSystemUser('postgres');
    expect(
      execFileSync(copy.initdb, ['--version'], { ...user, cwd: '/', encoding: 'utf8' }),
    ).toMatch(/^initdb \(PostgreSQL\)/);
    expect(execFileSync(copy.postgres, ['-V'], { ...user, cwd: '/', encoding: 'utf8' })).toMatch(
      /^postgres \(PostgreSQL\)/,
    );
    expect(() => execFileSync(join(closed, 'bin/postgres'), ['-V'], { ...user, cwd: '/' })).toThrow(
      'EACCES',
    );
  });
});
