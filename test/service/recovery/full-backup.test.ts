import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { type CommandHost, openCommandHost } from '../../support/commands.ts';
import { freePort } from '../../support/free-port.ts';
import { type ProductionService, startNewPool } from '../../support/production.ts';

const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const VALUE = Buffer.alloc(32, 7).toString('base64url');

let pool: ProductionService;
let owner: pg.Client;
let commands: CommandHost;
let place: string;
let backup: string;
let wrapped: string;
let metricsPort: number;

const post = (path: string, body: object) => pool.admin('POST', `${path}?api-version=7.4`, body);
const value = (answer: Awaited<ReturnType<typeof post>>) => answer.json<{ value: string }>().value;
const statusOf = async (name: string) =>
  (await pool.admin('GET', `/keys/${name}?api-version=7.4`)).status;
const strongroom = (...words: readonly string[]) => commands.run(words, pool.settings);
const unwrapped = async () =>
  value(await post('/keys/wrapping/unwrapkey', { alg: 'A256KW', value: wrapped }));

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const limit = Date.now() + 20_000;
  while (!(await isSo())) {
    if (Date.now() > limit) throw new Error('it did not come to that');
    await delay(50);
  }
}

beforeAll(async () => {
  // A resident pool has no full backups.
  metricsPort = await freePort();
  pool = await startNewPool({
    STRONGROOM_WORKERS: '1',
    STRONGROOM_KEYS: 'sealed',
    STRONGROOM_METRICS_LISTEN: `127.0.0.1:${metricsPort}`,
  });
  owner = new pg.Client({ connectionString: pool.database.ownerUrl });
  await owner.connect();
  commands = await openCommandHost();
  place = await mkdtemp(join(tmpdir(), 'strongroom-backups-'));
  for (const [name, body] of [
    ['wrapping', { kty: 'oct-HSM', key_size: 256 }],
    ['signing', { kty: 'EC-HSM', crv: 'P-256' }],
  ] as const)
    expect((await post(`/keys/${name}/create`, body)).status).toBe(200);
  wrapped = value(await post('/keys/wrapping/wrapkey', { alg: 'A256KW', value: VALUE }));
}, 60_000);
afterAll(async () => {
  await commands.close();
  await owner.end();
  await pool.stop();
  await rm(place, { recursive: true });
});

test('a backup of a pool that serves is made, listed and verified', async () => {
  const made = await strongroom('backup', 'create', '--to', place, '--json');
  expect(made).toMatchObject({ status: 0 });
  backup = (JSON.parse(made.words) as { folder: string }).folder;
  expect(backup).toMatch(/^mhsm-.*-\d{14}-[0-9a-f]{8}$/);
  const listed = await strongroom('backup', 'list', '--from', place);
  expect(listed.words).toContain(`${backup}: the pool`);
  const verified = await strongroom('backup', 'verify', backup, '--from', place);
  expect(verified).toMatchObject({ status: 0 });
  expect(verified.words).toContain('2 keys with 2 versions');
});

test('a restore that is killed in its middle leaves the pool as it was', async () => {
  expect((await post('/keys/later/create', { kty: 'oct-HSM', key_size: 256 })).status).toBe(200);
  // The row that it is about to remove is held until it is killed there.
  await owner.query(`begin; select from key where name_key = 'later' for update`);
  const command = spawn(
    process.execPath,
    [MAIN, 'backup', 'restore', backup, '--from', place, '--replace-pool'],
    { env: pool.settings, stdio: 'ignore' },
  );
  const ended = once(command, 'exit');
  await until(async () => {
    const { rowCount } = await owner.query(
      // Who waits for a row waits for a transaction, which is of no database.
      `select from pg_locks w where not granted and exists (select from pg_locks o where o.pid = w.pid
        and o.database = (select oid from pg_database where datname = current_database()))`,
    );
    return (rowCount ?? 0) > 0;
  });
  command.kill('SIGKILL');
  await ended;
  await owner.query('rollback');
  await until(async () => (await post('/keys/after-it/create', { kty: 'oct-HSM' })).status === 200);
  expect(await statusOf('later')).toBe(200);
  expect(await unwrapped()).toBe(VALUE);
});

test('a restore makes the pool what it was, and worker processes that know it replace the others', async () => {
  await pool.admin('DELETE', '/keys/wrapping?api-version=7.4');
  await pool.admin('DELETE', '/deletedkeys/wrapping?api-version=7.4');
  const restored = await strongroom('backup', 'restore', backup, '--from', place, '--replace-pool');
  expect(restored).toMatchObject({ status: 0 });
  await until(async () => (await statusOf('later')) === 404);
  expect(await unwrapped()).toBe(VALUE);
  expect(await statusOf('after-it')).toBe(404);
  await until(() => Promise.resolve(pool.service.output().includes('a backup was restored')));
  const { rows: jobs } = await owner.query(
    `select kind, status, asked_by, keys from recovery_job where kind = 'restore' order by started_at`,
  );
  expect(jobs).toEqual([
    expect.objectContaining({ status: 'Failed', asked_by: 'operator' }),
    { kind: 'restore', status: 'Succeeded', asked_by: 'operator', keys: 2 },
  ]);
  expect((await strongroom('audit', 'verify')).status).toBe(0);
});

test('one key that was purged comes back, beside all that has come since', async () => {
  expect((await post('/keys/since/create', { kty: 'EC-HSM', crv: 'P-256' })).status).toBe(200);
  await pool.admin('DELETE', '/keys/wrapping?api-version=7.4');
  await pool.admin('DELETE', '/deletedkeys/wrapping?api-version=7.4');
  const restored = await strongroom(
    'backup',
    'restore',
    backup,
    '--from',
    place,
    '--key',
    'wrapping',
  );
  expect(restored).toMatchObject({ status: 0 });
  expect(await unwrapped()).toBe(VALUE);
  expect(await statusOf('since')).toBe(200);
});

test('a backup that was altered is refused with status 2, and nothing is changed', async () => {
  const file = join(place, backup, 'data');
  const bytes = await readFile(file);
  bytes.writeUInt8(bytes.readUInt8(100) ^ 1, 100);
  await writeFile(file, bytes);
  for (const words of [
    ['verify', backup, '--from', place],
    ['restore', backup, '--from', place, '--replace-pool'],
  ]) {
    const { status, words: said } = await strongroom('backup', ...words);
    expect(status).toBe(2);
    expect(said).toContain('not as it was written');
  }
  expect(await statusOf('since')).toBe(200);
});

test('a restore has to be told whether all is to be replaced', async () => {
  const { status, words } = await strongroom('backup', 'restore', backup, '--from', place);
  expect(status).toBe(1);
  expect(words).toContain('--replace-pool');
});

describe('backups that are planned', () => {
  const planned = async (...words: readonly string[]) => {
    const { status, words: said } = await strongroom('backup', 'schedule', ...words, '--json');
    expect([status, said]).toEqual([0, expect.stringMatching(/^\{/)]);
    return JSON.parse(said) as {
      readonly schedule: unknown;
      readonly newestBackup: string | null;
      readonly lastFailure: { readonly code: string } | null;
    };
  };
  const metricOf = async (name: string) => {
    const answer = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
    return new RegExp(`^strongroom_backup_${name}\\{pool="main"\\} (\\S+)$`, 'm').exec(
      await answer.text(),
    )?.[1];
  };
  const inPlace = async () => (await readdir(scheduled)).sort();
  let scheduled: string;
  beforeAll(async () => {
    scheduled = await mkdtemp(join(tmpdir(), 'strongroom-scheduled-'));
  });
  afterAll(() => rm(scheduled, { recursive: true }));

  test('are made by the service, read back, and removed when there are enough newer ones', async () => {
    // The operator's of before.
    await until(async () => Number(await metricOf('age_seconds')) > 0);
    expect(await metricOf('overdue_seconds')).toBeUndefined();
    // An operator's own one, which no schedule may remove.
    const own = await strongroom('backup', 'create', '--to', scheduled, '--json');
    const { folder: kept } = JSON.parse(own.words) as { folder: string };
    const { newestBackup: ofOwn } = await planned();
    const words = ['set', '--to', scheduled, '--every', '6h', '--keep', '1', '--audit-records'];
    expect(await planned(...words)).toMatchObject({
      schedule: { place: scheduled, every: '6h', keep: 1, keepFor: null, auditRecords: true },
    });
    await until(async () => (await planned()).newestBackup !== ofOwn);
    const [, first = ''] = await inPlace();
    expect(await inPlace()).toEqual([kept, first]);
    await planned(...words);
    await until(async () => {
      const now = await inPlace();
      return now.length === 2 && now[1] !== first;
    });
    const [, second = ''] = await inPlace();
    expect(second > first).toBe(true);
    const verified = await strongroom('backup', 'verify', second, '--from', scheduled);
    expect(verified.words).toContain('with the records of the audit log');
    await until(async () => Number(await metricOf('age_seconds')) < 30);
    expect(await metricOf('overdue_seconds')).toBe('0');
    expect(await metricOf('failure_timestamp_seconds')).toBeUndefined();
  }, 60_000);

  test('are in the audit log, with what was planned and what was removed', async () => {
    const { rows } = await owner.query<{ operation: string; error_code: string | null }>(
      `select operation, error_code from audit_event
       where operation like 'BackupSchedule%' or operation like '%Backup%' order by time, sequence`,
    );
    const names = rows.map(({ operation }) => operation);
    expect(names).toEqual(
      expect.arrayContaining(['BackupScheduleSet', 'ScheduledBackupStart', 'FullBackup']),
    );
    expect(names.filter((name) => name === 'FullBackupRemoval')).toHaveLength(1);
    expect((await strongroom('audit', 'verify')).status).toBe(0);
  });

  test('that fail are said, where operators look and in metrics', async () => {
    await planned('set', '--to', scheduled, '--every', '6h');
    await rm(scheduled, { recursive: true });
    await until(async () => (await planned()).lastFailure !== null);
    expect(await planned()).toMatchObject({ lastFailure: { code: 'StorageRefused' } });
    await until(async () => (await metricOf('failure_timestamp_seconds')) !== undefined);
    expect(pool.service.output()).toContain('a scheduled backup has failed');
    const { words } = await strongroom('backup', 'schedule');
    expect(words).toContain('it is not there');
    expect((await strongroom('backup', 'schedule', 'off')).status).toBe(0);
    expect((await planned()).schedule).toBeNull();
    await mkdir(scheduled);
  }, 60_000);

  test.each([
    [['--every', '6h', '--cron', '0 3 * * *'], 'one of --cron and --every'],
    [['--every', '6'], '--every'],
    [['--cron', '0 3 * *'], '--cron'],
    [['--cron', '0 3 * * *', '--keep', '0'], '--keep'],
    [['--cron', '0 3 * * *', '--keep-for', '1y'], '--keep-for'],
  ])('%j are refused in a sentence', async (options, words) => {
    const said = await strongroom('backup', 'schedule', 'set', '--to', scheduled, ...options);
    expect(said).toMatchObject({ status: 1, words: expect.stringContaining(words) });
  });
});
