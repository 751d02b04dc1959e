import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { get as getPlainly } from 'node:http';
import { get as getSecurely } from 'node:https';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { prepareDevelopmentCertificate } from '../../../src/setup/trust/development-ca.ts';
import { prepareSoftHsmToken } from '../../../src/setup/softhsm/token.ts';
import { type Caller, createCaller, fetchToken } from '../../support/client.ts';
import { homeOf, postmasterOf } from '../../support/cluster.ts';
import { freePort } from '../../support/free-port.ts';
import { modulesFolder } from '../../support/modules.ts';
import { createTestDatabase } from '../../support/postgres.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../../support/service.ts';
import { workersOf } from '../../support/worker-processes.ts';

const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const parent = await makeDataFolder();
/** A name that a shell, a URL and SoftHSM2's configuration would each read in their own way. */
const folder = join(parent, `o'neil's "own" $HOME data`);
let service: RunningService | undefined;

afterAll(async () => {
  await service?.stop();
  await removeDataFolder(folder);
  await rm(parent, { recursive: true });
});

async function signIn(running: RunningService): Promise<Caller & { close(): void }> {
  const { AZURE_CLIENT_ID: clientId = '', AZURE_CLIENT_SECRET: clientSecret = '' } = running.client;
  return createCaller(running, await fetchToken(running, { clientId, clientSecret }));
}

async function until(condition: () => Promise<boolean>, limitMs: number): Promise<boolean> {
  const end = Date.now() + limitMs;
  while (Date.now() < end) {
    if (await condition()) return true;
    await delay(100);
  }
  return false;
}

const isRoot = process.getuid?.() === 0;
/** An answer of the service on the lasting key, by which it is seen to serve. */
async function keyOf(running: RunningService): Promise<unknown> {
  const call = await signIn(running);
  const answer = (await call('GET', '/keys/lasting')).json();
  call.close();
  return answer;
}

/** With one worker process, where two would show nothing more. */
const startOne = (dataFolder: string) => startService(dataFolder, { STRONGROOM_WORKERS: '1' });

async function copyOf(original: string): Promise<string> {
  const copy = `${original}-copy`;
  await run('cp', ['-a', original, copy]);
  return copy;
}

/** 0 where nobody answers yet. */
function statusOf(url: string): Promise<number> {
  const get = url.startsWith('https:') ? getSecurely : getPlainly;
  return new Promise((resolve) => {
    get(url, { rejectUnauthorized: false, agent: false }, (res) => {
      res.resume().once('end', () => {
        resolve(res.statusCode ?? 0);
      });
    }).on('error', () => {
      setImmediate(resolve, 0);
    });
  });
}

/** At this very moment; undefined where there are none. */
function clientSettingsIn(dataFolder: string): string | undefined {
  const file = join(dataFolder, 'client.env');
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

describe('a development start', () => {
  test('is ready once a client can begin, by the line that it prints, whatever its folder is called', async () => {
    const ports = [await freePort(), await freePort()];
    const probes = [`https://localhost:${ports[0]}/readyz`, `http://localhost:${ports[1]}/readyz`];
    const starting = startService(folder, {
      STRONGROOM_LISTEN: `127.0.0.1:${ports[0]}`,
      STRONGROOM_METRICS_LISTEN: `127.0.0.1:${ports[1]}`,
    });
    let isOver = false;
    const over = starting.finally(() => {
      isOver = true;
    });
    const [running, ...found] = await Promise.all([
      over,
      ...probes.map(async (url) => {
        for (let wasOver = false; !wasOver;) {
          wasOver = isOver;
          await delay(10);
          if ((await statusOf(url)) === 200) return clientSettingsIn(folder);
        }
        return undefined;
      }),
    ]);
    // What was there when each of the two was first ready is all that there is.
    expect(found).toEqual([clientSettingsIn(folder), clientSettingsIn(folder)]);
    expect(found[0]).toMatch(/^AZURE_MANAGEDHSM_URL=.*\n[^]*\n$/);
    const line = /^Client settings of .*?: (?<words>set -a; \. .+)$/m.exec(running.output());
    const script = `${line?.groups?.['words'] ?? 'exit 1'}; exec "$0" -e 'fetch(process.env.PROBE).then(async (answer) => console.log(answer.status, process.env.AZURE_CLIENT_ID))'`;
    const { stdout } = await run('sh', ['-c', script, process.execPath], {
      env: { PATH: process.env['PATH'], PROBE: probes[0] },
    });
    expect(stdout).toBe(`200 ${running.client['AZURE_CLIENT_ID'] ?? ''}\n`);
    service = running;
  });

  test('leaves what belongs to it readable by its owner only, and a second one says that it is in use', async () => {
    service ??= await startService(folder);
    for (const [name, mode] of [
      ['', 0o700],
      ['client.env', 0o600],
      ['administrator.json', 0o600],
      ['pkcs11-pin', 0o600],
      ['ca-key.pem', 0o600],
    ] as const)
      expect([name, (await stat(join(folder, name))).mode & 0o777]).toEqual([name, mode]);
    await expect(startService(folder)).rejects.toThrow(
      'Another Strongroom is running on the data folder',
    );
  });

  test('twice at once on a new data folder: one serves, the other says so', async () => {
    const shared = await makeDataFolder();
    const both = await Promise.allSettled([startOne(shared), startOne(shared)]);
    const serving = both.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    const refused = both.flatMap((start) =>
      start.status === 'rejected' ? [String(start.reason)] : [],
    );
    expect(serving).toHaveLength(1);
    expect(refused).toEqual([expect.stringContaining('Another Strongroom is running')]);
    await serving[0]?.stop();
    await removeDataFolder(shared);
  });

  test('used again, has the same administrator, keys and certificate authority', async () => {
    const first = service ?? (await startService(folder));
    const call = await signIn(first);
    const made = (await call('POST', '/keys/lasting/create', { kty: 'RSA' })).json();
    call.close();
    expect(await first.stop()).toBe(0);
    service = await startService(folder);
    const again = await signIn(service);
    expect(service.ca).toBe(first.ca);
    expect((await again('GET', '/keys/lasting')).json()).toMatchObject({
      key: { n: (made as { key: { n: string } }).key.n },
    });
    again.close();
  });

  test('on a copy of a data folder in use is refused, and the service there serves on as it did', async () => {
    const running = service ?? (await startService(folder));
    const before = [await keyOf(running), await postmasterOf(folder)];
    const copy = await copyOf(folder);
    try {
      await expect(startService(copy)).rejects.toThrow(
        isRoot
          ? `names the database of the data folder ${folder}, of which ${copy} is a copy`
          : `was copied from ${folder}/postgres/data while that was running`,
      );
      expect([await keyOf(running), await postmasterOf(folder)]).toEqual(before);
    } finally {
      await rm(copy, { recursive: true });
    }
  });

  test('offers TLS 1.2 and 1.3 with forward secrecy, and nothing else', async () => {
    const port = service?.port ?? 0;
    const shake = (options: object) =>
      new Promise<string>((resolve) => {
        const socket = connect({ host: 'localhost', port, ca: service?.ca, ...options }, () => {
          resolve(`${String(socket.getProtocol())} ${socket.getCipher().name}`);
          socket.destroy();
        });
        socket.on('error', () => {
          resolve('refused');
        });
      });
    expect(await shake({})).toMatch(/^TLSv1\.3 TLS_/);
    expect(await shake({ maxVersion: 'TLSv1.2' })).toMatch(/^TLSv1\.2 ECDHE-/);
    expect(
      await shake({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    ).toBe('refused');
    expect(await shake({ maxVersion: 'TLSv1.2', ciphers: 'AES256-GCM-SHA384:AES128-SHA' })).toBe(
      'refused',
    );
  });
});

/**
 * A supervisor over one worker that can't start, since its database has no pool of that name: prints the reason. Its loop
 * has little time, so that what the worker says last takes long to be read.
 */
const STARTED_IN_VAIN = `
  const { startSupervisor } = await import(process.argv[2] + 'process/supervisor.js');
  const { createLog } = await import(process.argv[2] + 'observability/log.js');
  const pool = 'p'.repeat(Number(process.argv[3]));
  const settings = {
    listen: { host: '127.0.0.1', port: 0 }, domain: 'strongroom.localhost', pool, logLevel: 'silent',
    databaseUrl: process.argv[4], pkcs11: { module: '', tokenLabel: '', pin: '' },
    tls: { certificate: '', privateKey: '' }, limits: {}, attestation: {}, issuers: [],
    loadedKeys: 1, signingKeyDays: 1,
  };
  const busy = setInterval(() => { for (const end = Date.now() + 100; Date.now() < end; ); }, 1);
  await startSupervisor({
    workers: 1, memoryLimit: 1e9, nodeOptions: '', environment: {}, log: createLog('silent'), settings,
  }).catch((error) => { console.log(error.message); });
  clearInterval(busy);
  process.exitCode = 0;
`;

describe('worker processes', () => {
  test('one that fails is heard out, however much it says and however busy its supervisor is', async () => {
    const database = await createTestDatabase();
    // Beyond what a channel and one turn of a loop take at once.
    const length = 1_500_000;
    // In a file, since a supervisor hands Node's own options on to its workers.
    const script = join(await mkdtemp(join(tmpdir(), 'strongroom-test-')), 'supervisor.mjs');
    await writeFile(script, STARTED_IN_VAIN);
    const { stdout } = await run(
      process.execPath,
      [script, await modulesFolder(), String(length), database.serviceUrl],
      { env: { PATH: process.env['PATH'] }, maxBuffer: 2 * length },
    );
    const [before = '', pool, after] = stdout.split('"');
    expect([before, pool?.length, after]).toEqual([
      'The pool ',
      length,
      ' has not been made yet: run `strongroom bootstrap`, or set STRONGROOM_POOL to one that is there.\n',
    ]);
    await rm(dirname(script), { recursive: true });
    await database.drop();
  });

  test.each([
    ['killed', 'SIGKILL'],
    ['hung', 'SIGSTOP'],
  ] as const)(
    'one that is %s is replaced, while the service goes on',
    async (_how, signal) => {
      service ??= await startService(folder);
      const running = service;
      const before = await workersOf(running);
      expect(before).toHaveLength(2);
      const [victim = 0] = before;
      process.kill(victim, signal);
      const isReplaced = await until(async () => {
        const now = await workersOf(running);
        return now.length === 2 && !now.includes(victim);
      }, 20_000);
      expect(isReplaced).toBe(true);
      const answers = await until(async () => {
        const call = await signIn(running);
        const { status } = await call('GET', '/keys');
        call.close();
        return status === 200;
      }, 10_000);
      expect(answers).toBe(true);
    },
    60_000,
  );
});

describe('what an earlier start has left', () => {
  const start = async () => {
    const failure = await run(process.execPath, [MAIN, 'serve'], {
      env: { PATH: process.env['PATH'], STRONGROOM_DATA_DIR: folder },
    }).catch((error: unknown) => error as { code: number; stdout: string; stderr: string });
    return 'code' in failure ? [failure.code, failure.stdout + failure.stderr] : [];
  };

  beforeAll(async () => {
    service ??= await startOne(folder);
    await service.stop();
    service = undefined;
  });

  test.each([
    ['the token', 'tokens', 'HSM token of this data folder is lost: '],
    ['its PIN', 'pkcs11-pin', 'its PIN is not in '],
    ['the certificate authority', 'ca.pem', 'certificate of the development CA is lost: '],
    ["the database's password", 'postgres-owner-password', 'its password is not: '],
    ['the database', '', 'The database is lost: '],
  ])(
    'is asked for %s: without it a start says what is lost, and touches nothing',
    async (_what, name, words) => {
      const path = name === '' ? await homeOf(folder) : join(folder, name);
      const away = `${path}.away`;
      await rename(path, away);
      try {
        const before = await readdir(folder, { recursive: true });
        const [status, said] = await start();
        expect(said).toMatch(/^strongroom: [^\n]+\n$/);
        expect(said).toContain(words);
        expect(said).toContain(folder);
        expect(status).toBe(1);
        expect(await readdir(folder, { recursive: true })).toEqual(before);
      } finally {
        await rename(away, path);
      }
    },
  );

  test('when copied whole has a database of its own, or a sentence says that it has none', async () => {
    const copy = await copyOf(folder);
    const outcome = await startService(copy).then(
      async (own) => {
        const key = await keyOf(own);
        await own.stop();
        return key;
      },
      (error: unknown) => ({ key: String(error).includes(`of which ${copy} is a copy`) }),
    );
    await rm(copy, { recursive: true });
    expect(outcome).toMatchObject({ key: isRoot ? true : { kty: 'RSA-HSM' } });
  });

  test('serves again once it is whole', async () => {
    service = await startOne(folder);
    expect(await keyOf(service)).toMatchObject({ key: { kty: 'RSA-HSM' } });
  });
});

describe('a production start', () => {
  test('sets nothing up: it wants the schema and the pool to be there, then serves them', async () => {
    const place = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
    const database = await createTestDatabase();
    const token = await prepareSoftHsmToken(place);
    const { certificate, privateKey, caFile } = await prepareDevelopmentCertificate(place, {
      domain: 'hsm.example',
    });
    await writeFile(join(place, 'cert.pem'), certificate);
    await writeFile(join(place, 'key.pem'), privateKey);
    const given = {
      PATH: process.env['PATH'] ?? '',
      DATABASE_URL: database.serviceUrl,
      PKCS11_MODULE: token.module,
      PKCS11_TOKEN_LABEL: token.tokenLabel,
      PKCS11_PIN: token.pin,
      SOFTHSM2_CONF: token.configFile,
      STRONGROOM_TLS_CERT_FILE: join(place, 'cert.pem'),
      STRONGROOM_TLS_KEY_FILE: join(place, 'key.pem'),
      STRONGROOM_DOMAIN: 'hsm.example',
      STRONGROOM_DATA_DIR: join(place, 'unused'),
      STRONGROOM_WORKERS: '1',
    };
    const strongroom = (...words: string[]) =>
      run(process.execPath, [MAIN, ...words], { env: given });
    try {
      await expect(strongroom('serve')).rejects.toThrow('The pool "main" has not been made yet');
      const credentials = join(place, 'administrator.json');
      await strongroom('bootstrap', '--credentials', credentials);
      expect((await stat(credentials)).mode & 0o777).toBe(0o600);
      const administrator = JSON.parse(await readFile(credentials, 'utf8')) as {
        clientId: string;
        clientSecret: string;
      };

      const production = await startService(join(place, 'unused'), given, {
        caFile,
      });
      const call = createCaller(
        production,
        await fetchToken(production, administrator, 'https://hsm.example'),
      );
      const roles = await call('GET', '/providers/Microsoft.Authorization/roleDefinitions');
      expect(roles.status).toBe(200);
      // An administrator of a production pool holds no key: it can give itself the role, and that is on record.
      expect((await call('POST', '/keys/k/create', { kty: 'oct' })).status).toBe(403);
      call.close();
      expect(await production.stop()).toBe(0);
      expect(existsSync(join(place, 'unused'))).toBe(false);
    } finally {
      await database.drop();
      await rm(place, { recursive: true, force: true });
    }
  }, 120_000);

  test('with a wrong setting says which, and stops', async () => {
    const attempt = run(process.execPath, [MAIN, 'serve'], { env: { STRONGROOM_WORKERS: 'many' } });
    await expect(attempt).rejects.toThrow('strongroom: STRONGROOM_WORKERS:');
  });
});
