import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { type ProductionService, startNewPool } from '../../support/production.ts';

const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const VALUE = Buffer.alloc(32, 7).toString('base64url');
const A_MINUTE_MS = 60_000;

interface Report {
  readonly generations: readonly {
    readonly number: number;
    readonly isCurrent: boolean;
    readonly rows: number;
  }[];
  readonly retired: readonly { readonly number: number; readonly destroyedAt?: string }[];
}

let pool: ProductionService;
let owner: pg.Client;
/** What was wrapped and backed up before anything was rotated. */
const before = { wrapped: '', blob: '', signature: '' };

beforeAll(async () => {
  // A resident pool's keys aren't wrapped by root keys, and so the command refuses.
  pool = await startNewPool({ STRONGROOM_WORKERS: '2', STRONGROOM_KEYS: 'sealed' });
  owner = new pg.Client({ connectionString: pool.database.ownerUrl });
  await owner.connect();
  for (const [name, body] of [
    ['oct', { kty: 'oct-HSM', key_size: 256 }],
    ['rsa', { kty: 'RSA-HSM', key_size: 2048 }],
    ['ec', { kty: 'EC-HSM', crv: 'P-256' }],
    ['moved', { kty: 'EC-HSM', crv: 'P-256' }],
    ['gone', { kty: 'oct-HSM', key_size: 128 }],
  ] as const)
    expect((await post(`/keys/${name}/create`, body)).status).toBe(200);
  before.wrapped = value(await post('/keys/oct/wrapkey', { alg: 'A256KW', value: VALUE }));
  before.signature = value(await post('/keys/rsa/sign', { alg: 'RS256', value: VALUE }));
  before.blob = value(await post('/keys/moved/backup', {}));
  expect((await pool.admin('DELETE', '/keys/gone?api-version=7.4')).status).toBe(200);
}, 120_000);
afterAll(async () => {
  await owner.end();
  await pool.stop();
});

const post = (path: string, body: object) => pool.admin('POST', `${path}?api-version=7.4`, body);
const value = (answer: Awaited<ReturnType<typeof post>>) => answer.json<{ value: string }>().value;
const report = async () => (await pool.admin('GET', '/root-keys?api-version=7.4')).json<Report>();
const begin = (...options: string[]): ChildProcess =>
  spawn(process.execPath, [MAIN, 'root-keys', 'rotate', ...options], {
    env: pool.settings,
    stdio: 'ignore',
  });

async function kill(command: ChildProcess): Promise<void> {
  const ended = once(command, 'exit');
  command.kill('SIGKILL');
  await ended;
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const limit = Date.now() + 2 * A_MINUTE_MS;
  while (!(await isSo())) {
    if (Date.now() > limit) throw new Error('it did not come to that');
    await delay(100);
  }
}

/** The command is killed where it waits for a lock that the test holds. */
async function killedAt(statement: string): Promise<void> {
  await owner.query(`begin; ${statement}`);
  const command = begin();
  await until(async () => {
    const { rowCount } = await owner.query(
      `select from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())`,
    );
    return (rowCount ?? 0) > 0;
  });
  await kill(command);
  await owner.query('rollback');
}

/** Uses old keys and makes new ones, again and again, until it is told to stop. @returns what wasn't answered with 200 */
function callAllTheTime() {
  const refused: string[] = [];
  let isOver = false;
  const caller = async (number: number) => {
    for (let turn = 0; !isOver; turn += 1) {
      const answers = [
        await post('/keys/oct/unwrapkey', { alg: 'A256KW', value: before.wrapped }),
        await post('/keys/rsa/sign', { alg: 'RS256', value: VALUE }),
        await post('/keys/ec/sign', { alg: 'ES256', value: VALUE }),
        await post(`/keys/new-${number}-${turn}/create`, { kty: 'oct-HSM', key_size: 256 }),
        await pool.admin('PATCH', '/keys/ec?api-version=7.4', {
          tags: { turn: String(turn), number: String(number) },
          key_ops: turn % 2 === 0 ? ['sign'] : ['sign', 'verify'],
        }),
      ];
      for (const { status, text } of answers) if (status !== 200) refused.push(`${status} ${text}`);
      await delay(20);
    }
  };
  const callers = [caller(1), caller(2)];
  return async () => {
    isOver = true;
    await Promise.all(callers);
    return refused;
  };
}

async function expectAsBefore(): Promise<void> {
  expect(value(await post('/keys/oct/unwrapkey', { alg: 'A256KW', value: before.wrapped }))).toBe(
    VALUE,
  );
  expect(value(await post('/keys/rsa/sign', { alg: 'RS256', value: VALUE }))).toBe(
    before.signature,
  );
}

describe('new root keys', () => {
  test('that are killed at any step leave a pool that serves, and the service sees them through', async () => {
    const stop = callAllTheTime();
    // Made in the HSM, on record nowhere.
    await killedAt('lock table root_generation in share row exclusive mode');
    expect((await report()).generations).toMatchObject([{ number: 1, isCurrent: true }]);
    await expectAsBefore();
    // The current ones, and nothing is wrapped by them yet.
    await killedAt('lock table backup_keys in exclusive mode');
    const { generations } = await report();
    expect(generations).toMatchObject([
      { number: 1, isCurrent: false },
      { number: 2, isCurrent: true },
    ]);
    expect(generations[0]?.rows).toBeGreaterThan(0);
    await expectAsBefore();
    // A part is wrapped by them. What the service has begun meanwhile goes on when it can.
    await killedAt('lock table statement_key in exclusive mode').catch(() => undefined);
    await expectAsBefore();
    // Nothing is sealed by the old ones, which are still in the HSM.
    const command = begin();
    await until(async () => (await report()).retired.length > 0);
    await kill(command);
    await expectAsBefore();
    await until(async () => (await report()).retired.every((one) => one.destroyedAt !== undefined));
    expect((await report()).generations).toMatchObject([{ number: 2, isCurrent: true }]);
    expect(await stop()).toEqual([]);
    await expectAsBefore();
  }, 300_000);

  test('are made by one command beside callers, and none of them is refused', async () => {
    const stop = callAllTheTime();
    const { stdout } = await run(process.execPath, [MAIN, 'root-keys', 'rotate'], {
      env: pool.settings,
    });
    expect(stdout).toContain('Everything is sealed by generation 3.');
    expect(stdout).toContain('The old root keys are destroyed.');
    expect(await stop()).toEqual([]);
    await expectAsBefore();
    expect((await report()).retired).toMatchObject([
      { number: 1, destroyedAt: expect.any(String) },
      { number: 2, destroyedAt: expect.any(String) },
    ]);
  }, 120_000);

  test('leave backup blobs good that are older, and deleted keys', async () => {
    await pool.admin('DELETE', '/keys/moved?api-version=7.4');
    await pool.admin('DELETE', '/deletedkeys/moved?api-version=7.4');
    expect((await post('/keys/restore', { value: before.blob })).status).toBe(200);
    expect((await post('/keys/moved/sign', { alg: 'ES256', value: VALUE })).status).toBe(200);
    expect((await post('/deletedkeys/gone/recover', {})).status).toBe(200);
    expect((await post('/keys/gone/wrapkey', { alg: 'A128KW', value: VALUE })).status).toBe(200);
  });

  test('keep the old ones where that is asked for', async () => {
    const { stdout } = await run(process.execPath, [MAIN, 'root-keys', 'rotate', '--keep'], {
      env: pool.settings,
    });
    expect(stdout).toContain('Generation 3 stays in the HSM (--keep).');
    const { stdout: status } = await run(process.execPath, [MAIN, 'root-keys', 'status'], {
      env: pool.settings,
    });
    expect(status).toMatch(/generation 3: made .*, seals 0 keys; kept\n/);
    await expectAsBefore();
  }, 120_000);

  test('are on record: the audit log is what was written, and so is every row', async () => {
    const { stdout } = await run(process.execPath, [MAIN, 'audit', 'verify'], {
      env: pool.settings,
    });
    expect(stdout).not.toBe('');
    const { rows } = await owner.query<{ operation: string }>(
      `select operation from audit_event where operation like 'RootKeys%' order by time`,
    );
    expect(rows.map(({ operation }) => operation)).toEqual(
      expect.arrayContaining(['RootKeysRotate', 'RootKeysRetire', 'RootKeysDestroy']),
    );
  }, 120_000);
});
