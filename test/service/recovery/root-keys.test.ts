import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { formatCertificateJwk } from '../../../src/backup/security-domain/certificate-jwk.ts';
import { examineRootKeys } from '../../../src/compose/root-key-diagnosis.ts';
import { createLog } from '../../../src/observability/log.ts';
import { azureDomain } from '../../support/azure-domain.ts';
import { createCaller } from '../../support/client.ts';
import { type ProductionService, startNewPool } from '../../support/production.ts';
import { startService } from '../../support/service.ts';
import { freePort } from '../../support/free-port.ts';
import { modulesFolder } from '../../support/modules.ts';
import { makeToken } from '../../support/softhsm.ts';
import { workersOf } from '../../support/worker-processes.ts';

const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const TOKEN_OBJECTS = fileURLToPath(new URL('../../support/token-objects.mjs', import.meta.url));
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
  pool = await startNewPool({
    STRONGROOM_WORKERS: '2',
    STRONGROOM_KEYS: 'sealed',
    // While no worker process is there, a port that nobody chose is gone.
    STRONGROOM_LISTEN: `127.0.0.1:${await freePort()}`,
  });
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

/** Somebody waits for a lock. */
async function isWaiting(): Promise<boolean> {
  const { rowCount } = await owner.query(
    `select from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())`,
  );
  return (rowCount ?? 0) > 0;
}

/** The command is killed where it waits for a lock that the test holds. */
async function killedAt(statement: string): Promise<void> {
  await owner.query(`begin; ${statement}`);
  const command = begin();
  await until(isWaiting);
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
      await delay(100);
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
    // Made in the HSM, on record nowhere: the next ones get the number after.
    await killedAt('lock table root_generation in share row exclusive mode');
    expect((await report()).generations).toMatchObject([{ number: 1, isCurrent: true }]);
    await expectAsBefore();
    // The current ones, and nothing is wrapped by them yet.
    await killedAt('lock table backup_keys in exclusive mode');
    const { generations } = await report();
    expect(generations).toMatchObject([
      { number: 1, isCurrent: false },
      { number: 3, isCurrent: true },
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
    expect((await report()).generations).toMatchObject([{ number: 3, isCurrent: true }]);
    expect(await stop()).toEqual([]);
    await expectAsBefore();
  }, 300_000);

  test('are made by one command beside callers, and none of them is refused', async () => {
    const stop = callAllTheTime();
    const { stdout } = await run(process.execPath, [MAIN, 'root-keys', 'rotate'], {
      env: pool.settings,
    });
    expect(stdout).toContain('Everything is sealed by generation 4.');
    expect(stdout).toContain('The old root keys are destroyed.');
    expect(await stop()).toEqual([]);
    await expectAsBefore();
    expect((await report()).retired).toMatchObject([
      { number: 1, destroyedAt: expect.any(String) },
      { number: 3, destroyedAt: expect.any(String) },
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
    expect(stdout).toContain('Generation 4 stays in the HSM (--keep).');
    const { stdout: status } = await run(process.execPath, [MAIN, 'root-keys', 'status'], {
      env: pool.settings,
    });
    expect(status).toMatch(/generation 4: made .*, seals 0 keys; kept\n/);
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

  test("that were kept are destroyed on nobody's word but that of the current ones", async () => {
    const { rows } = await owner.query<{ number: number }>(
      'update root_generation set is_kept = false where number = 4 returning number',
    );
    expect(rows).toHaveLength(1);
    await until(() =>
      Promise.resolve(pool.service.output().includes("the current ones don't say so")),
    );
    expect((await report()).generations.map(({ number }) => number)).toContain(4);
    await owner.query('update root_generation set is_kept = true where number = 4');
  }, 120_000);

  test('for which the older ones do not vouch are used by no process that starts', async () => {
    const [voucher] = (
      await owner.query<{ proof: Buffer }>(
        'delete from root_voucher where by_generation = 4 returning proof',
      )
    ).rows;
    const command = run(process.execPath, [MAIN, 'root-keys', 'rotate'], { env: pool.settings });
    await expect(command).rejects.toMatchObject({
      stderr: expect.stringContaining('do not say that they have come after them') as unknown,
    });
    const { stdout } = await run(process.execPath, [MAIN, 'root-keys', 'vouch'], {
      env: pool.settings,
    });
    expect(stdout).toMatch(/Generation (?:\d+, )*4 vouches for it; none of them is to go\./);
    const { rows } = await owner.query<{ proof: Buffer }>(
      'select proof from root_voucher where by_generation = 4',
    );
    expect(rows).toEqual([voucher]);
    await expectAsBefore();
  }, 120_000);

  test('that are older than those in use are used by no process that starts, though they were kept', async () => {
    const name = (number: number) =>
      owner.query(
        `update pool p set root_generation = g.number, root_check = g.root_check
        from root_generation g where g.pool_id = p.id and g.number = $1 returning g.number`,
        [number],
      );
    expect((await name(4)).rows).toEqual([{ number: 4 }]);
    const { stderr } = await run(process.execPath, [MAIN, 'root-keys', 'rotate'], {
      env: pool.settings,
    }).catch((error: unknown) => error as { stderr: string });
    expect(stderr).toMatch(/newer ones have been in use \(generation \d+\)/);
    await name(Number(/generation (\d+)\)/.exec(stderr)?.[1]));
    await until(async () => (await pool.admin('GET', '/readyz')).status === 200);
    await expectAsBefore();
  }, 120_000);
});

describe('the security domain of a pool', () => {
  let folder: string;
  let token: Awaited<ReturnType<typeof makeToken>>;
  let generation: number;
  const at = (name: string) => join(folder, name);
  const onToken = (...words: string[]) =>
    run(process.execPath, [MAIN, 'security-domain', ...words], {
      env: { PATH: process.env['PATH'], ...token.environment },
    });
  /** Of a token, in sessions too. */
  async function objectsIn({
    PKCS11_MODULE: module,
    PKCS11_TOKEN_LABEL: tokenLabel,
    PKCS11_PIN: pin,
    SOFTHSM2_CONF = '',
  }: Readonly<Record<string, string>>) {
    const { stdout } = await run(
      process.execPath,
      [TOKEN_OBJECTS, JSON.stringify({ module, tokenLabel, pin })],
      { env: { PATH: process.env['PATH'], SOFTHSM2_CONF } },
    );
    return JSON.parse(stdout) as { label: string; extractable?: boolean; sensitive?: boolean }[];
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'strongroom-replica-'));
    token = await makeToken();
    for (const [index, { pem }] of azureDomain.custodians.entries())
      await writeFile(at(`custodian-${index}.pem`), pem.privateKey);
    await writeFile(at('ca.pem'), pool.service.ca);
    await modulesFolder();
  }, 120_000);
  afterAll(async () => {
    await token.remove();
    await rm(folder, { recursive: true, force: true });
  });

  /** What custodians do with it. */
  const makeBlob = (domain: string, transferKey: string, out: string) =>
    run(process.execPath, [
      ...[MAIN, 'security-domain', 'restore-blob', at(domain), '--transfer-key', at(transferKey)],
      ...['--key', at('custodian-0.pem'), at('custodian-2.pem'), '--out', at(out)],
    ]);
  /** With an HSM of its own. */
  const startReplica = () =>
    startService(
      at('unused'),
      {
        ...pool.settings,
        ...token.environment,
        STRONGROOM_REPLICA: 'east',
        STRONGROOM_WORKERS: '1',
        STRONGROOM_LISTEN: '127.0.0.1:0',
      },
      { caFile: at('ca.pem') },
    );
  const current = async () => (await report()).generations.at(-1)?.number ?? 0;
  const download = () =>
    post('/securitydomain/download', {
      certificates: azureDomain.custodians.map(({ certificate }) =>
        formatCertificateJwk(certificate),
      ),
      required: 2,
    });
  /** All processes that serve, which are replaced. */
  async function killWorkers(): Promise<void> {
    for (const worker of await workersOf(pool.service)) process.kill(worker, 'SIGKILL');
  }
  const serves = () =>
    until(() =>
      report().then(
        () => true,
        () => false,
      ),
    );

  test('changes nothing where the service dies before it is on record', async () => {
    const before = await current();
    await owner.query('begin; lock table security_domain_download in exclusive mode');
    const refused = download().then(
      () => false,
      () => true,
    );
    await until(isWaiting);
    await killWorkers();
    await owner.query('rollback');
    expect(await refused).toBe(true);
    await serves();
    expect(await current()).toBe(before);
    await expectAsBefore();
    const objects = await objectsIn(pool.settings);
    expect(objects.filter(({ extractable }) => extractable !== false)).toEqual([]);
  }, 120_000);

  test("is the pool's once it was given out, whatever dies then", async () => {
    const before = await current();
    const answer = await download();
    expect(answer.status).toBe(202);
    await writeFile(at('domain.json'), value(answer));
    await killWorkers();
    await serves();
    await expectAsBefore();
    // The next number is that of the root keys that the attempt before has left in the token.
    generation = before + 2;
    expect(await current()).toBe(generation);
  }, 120_000);

  test('leaves nothing in the token that could leave it, and everything is wrapped by its root keys', async () => {
    await until(async () => {
      const answer = await pool.admin('GET', '/securitydomain/download/pending?api-version=7.4');
      return answer.json<{ status: string }>().status === 'Success';
    });
    expect((await report()).generations.at(-1)).toMatchObject({
      number: generation,
      isCurrent: true,
    });
    const objects = await objectsIn(pool.settings);
    expect(objects.length).toBeGreaterThan(1);
    expect(objects.filter(({ extractable }) => extractable !== false)).toEqual([]);
    await expectAsBefore();
  }, 120_000);

  test('the doctor tells of root keys in the token that the database does not know', async () => {
    const {
      DATABASE_URL: databaseUrl = '',
      PKCS11_MODULE: module = '',
      PKCS11_TOKEN_LABEL: tokenLabel = '',
      PKCS11_PIN: pin = '',
    } = pool.settings;
    const found = await examineRootKeys(
      { databaseUrl, pool: 'main', pkcs11: { module, tokenLabel, pin } },
      createLog('silent'),
    );
    const warnings = found.filter(({ severity }) => severity === 'warning');
    expect(warnings.map(({ sentence }) => sentence)).toEqual([
      expect.stringMatching(
        new RegExp(`does not know \\(generation (\\d+, )?${generation - 1}\\)`),
      ),
    ]);
  }, 60_000);

  test('brings its root keys into an empty HSM, which then serves the same database', async () => {
    await expect(onToken('restore', at('domain.json'))).rejects.toMatchObject({
      stderr: expect.stringContaining(at('domain.json')) as unknown,
    });
    const { stdout: made } = await onToken('transfer-key', '--out', at('transfer.pem'));
    const certificate = new X509Certificate(await readFile(at('transfer.pem')));
    expect(made).toContain(`SHA-256: ${certificate.fingerprint256}`);
    expect(certificate.subject).toContain('CN=transfer-key');
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.publicKey.asymmetricKeyDetails?.modulusLength).toBe(4096);
    expect(await objectsIn(token.environment)).toEqual([
      {
        label: expect.stringMatching(/^strongroom transfer-key 20/) as unknown,
        token: true,
        sensitive: true,
        extractable: false,
      },
    ]);
    await expect(onToken('transfer-key', '--out', at('transfer.pem'))).rejects.toMatchObject({
      stderr: expect.stringContaining('it is there already') as unknown,
    });
    await makeBlob('domain.json', 'transfer.pem', 'blob.json');
    const blob = await readFile(at('blob.json'), 'utf8');
    await writeFile(
      at('altered.json'),
      blob.replace(/"compact_jwe":"(.{200}).(.)/, '"compact_jwe":"$1$2A'),
    );
    await expect(onToken('restore', at('altered.json'))).rejects.toMatchObject({
      stderr: expect.stringContaining('It does not open with the transfer key') as unknown,
    });
    const { stdout } = await onToken('restore', at('blob.json'));
    expect(stdout).toContain(`generation ${generation}`);
    expect(
      (await objectsIn(token.environment))
        .map(({ label, extractable }) => [label, extractable])
        .sort(),
    ).toEqual([
      [`strongroom root-seal ${generation}`, false],
      [`strongroom root-wrap ${generation}`, false],
    ]);
    await expect(onToken('restore', at('blob.json'))).rejects.toMatchObject({
      stderr: expect.stringContaining('holds no transfer key') as unknown,
    });

    const replica = await startReplica();
    const admin = createCaller(replica, pool.adminToken);
    try {
      const ask = (path: string, body: object) => admin('POST', `${path}?api-version=7.4`, body);
      const opened = await ask('/keys/oct/unwrapkey', { alg: 'A256KW', value: before.wrapped });
      expect(value(opened)).toBe(VALUE);
      expect(value(await ask('/keys/rsa/sign', { alg: 'RS256', value: VALUE }))).toBe(
        before.signature,
      );
      expect((await admin('DELETE', '/keys/moved?api-version=7.4')).status).toBe(200);
      expect((await admin('DELETE', '/deletedkeys/moved?api-version=7.4')).status).toBe(204);
      // Made before there was a domain, by a pair of backup keys that is older.
      expect((await ask('/keys/restore', { value: before.blob })).status).toBe(200);
    } finally {
      admin.close();
      await replica.stop();
    }
  }, 120_000);

  test('waits for a replica whose HSM lacks its root keys: both serve, until it has them, and then all goes on', async () => {
    const old = await current();
    const replica = await startReplica();
    const east = createCaller(replica, pool.adminToken);
    const commands = (...words: string[]) =>
      run(process.execPath, [MAIN, ...words], { env: pool.settings });
    const status = async () =>
      (await pool.admin('GET', '/securitydomain/download/pending?api-version=7.5')).json<{
        status: string;
        status_details: string;
      }>();
    try {
      // The answer of the first is lost.
      expect((await download()).status).toBe(202);
      const answer = await download();
      expect([answer.status, answer.text]).toEqual([202, expect.any(String)]);
      await writeFile(at('newer.json'), value(answer));
      expect(await current()).toBe(old);
      expect(await status()).toMatchObject({
        status: 'InProgress',
        status_details: expect.stringMatching(/wait for replicas .*: east\. Bring/),
      });
      const { replicas } = (await pool.admin('GET', '/replicas?api-version=7.4')).json<{
        replicas: readonly { name: string; lacksRootGeneration?: number }[];
      }>();
      const lacking = replicas.filter(({ lacksRootGeneration }) => lacksRootGeneration === old + 2);
      expect(lacking.map(({ name }) => name)).toEqual(['east']);
      await expect(commands('root-keys', 'rotate')).rejects.toMatchObject({
        stderr: expect.stringMatching(/HSM does not hold them: east\. Restore .*--without-replica/),
      });
      expect((await commands('root-keys', 'status')).stdout).toMatch(/waits for .*: east$/m);
      for (const call of [pool.admin, east])
        expect(
          value(
            await call('POST', '/keys/oct/unwrapkey?api-version=7.4', {
              ...{ alg: 'A256KW', value: before.wrapped },
            }),
          ),
        ).toBe(VALUE);
      // A domain that the root keys there know nothing of is not let in beside them; this one is, while the service runs.
      await onToken('transfer-key', '--out', at('second.pem'));
      await makeBlob('newer.json', 'second.pem', 'second.json');
      expect((await onToken('restore', at('second.json'))).stdout).toMatch(/generation \d+:/);
      await until(async () => (await current()) === old + 2);
      await until(async () => (await status()).status === 'Success');
      await until(async () =>
        (await Promise.all([objectsIn(pool.settings), objectsIn(token.environment)]))
          .flat()
          .every(({ label }) => !label.endsWith(` ${old}`) && !label.endsWith(` ${old + 1}`)),
      );
      for (const call of [pool.admin, east]) {
        const body = { alg: 'A256KW', value: before.wrapped };
        const opened = await call('POST', '/keys/oct/unwrapkey?api-version=7.4', body);
        expect(value(opened)).toBe(VALUE);
      }
    } finally {
      east.close();
      await replica.stop();
    }
  }, 180_000);

  test('goes on without a replica that an operator gives up', async () => {
    const old = await current();
    const replica = await startReplica();
    const rotate = (...words: string[]) =>
      run(process.execPath, [MAIN, 'root-keys', 'rotate', ...words], { env: pool.settings });
    try {
      await expect(rotate('--without-replica', 'east')).rejects.toMatchObject({
        stderr: expect.stringContaining('No root keys wait for a replica'),
      });
      expect((await download()).status).toBe(202);
      // It is waited for though it has ended: it may be on its way through a restart.
      await replica.stop();
      expect(await current()).toBe(old);
      await expect(rotate()).rejects.toMatchObject({
        stderr: expect.stringContaining('HSM does not hold them: east.'),
      });
      const { stdout } = await rotate('--without-replica', 'east');
      expect(stdout).toContain(`New keys are sealed by generation ${old + 1}`);
      expect(stdout).toContain(`Everything is sealed by generation ${old + 1}`);
      await expect(startReplica()).rejects.toThrow(/root keys/);
    } finally {
      await replica.stop();
    }
  }, 180_000);
});
