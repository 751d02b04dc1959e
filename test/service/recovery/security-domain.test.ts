import { execFile } from 'node:child_process';
import { createDecipheriv, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { formatCertificateJwk } from '../../../src/backup/security-domain/certificate-jwk.ts';
import { parseDomain } from '../../../src/backup/security-domain/domain-text.ts';
import { createEnvelopes } from '../../../src/backup/security-domain/envelopes.ts';
import { deriveEntryKey } from '../../../src/core/recovery/security-domain/entry-key.ts';
import { combineShares } from '../../../src/core/recovery/security-domain/secret-sharing.ts';
import {
  openDomain,
  openShare,
} from '../../../src/core/recovery/security-domain/security-domain.ts';
import { encodeShare } from '../../../src/core/recovery/security-domain/share-bytes.ts';
import { azureDomain, PAIRS } from '../../support/azure-domain.ts';
import { createCaller } from '../../support/client.ts';
import { CAN_READ_MEMORY, findInMemory } from '../../support/process-memory.ts';
import { makeToken } from '../../support/softhsm.ts';
import { type ProductionService, startNewPool } from '../../support/production.ts';
import { workersOf } from '../../support/worker-processes.ts';

const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const VALUE = randomBytes(32).toString('base64url');
const { custodians } = azureDomain;
const CERTIFICATES = custodians.map(({ certificate }) => formatCertificateJwk(certificate));
const ASKED = { certificates: CERTIFICATES, required: 2 };

/** The pool whose machine is lost, and a new one on a token of its own. */
let lost: ProductionService;
let fresh: ProductionService;
let token: Awaited<ReturnType<typeof makeToken>>;
let place: string;
/** Of the pool that is lost. */
const kept = { older: '', domain: '', blob: '', later: '', signature: '' };

beforeAll(async () => {
  token = await makeToken();
  const sealed = { STRONGROOM_KEYS: 'sealed' };
  lost = await startNewPool({ ...sealed, STRONGROOM_WORKERS: '2' }, { hasDomain: true });
  fresh = await startNewPool({ ...sealed, STRONGROOM_WORKERS: '1', ...token.environment });
  place = await mkdtemp(join(tmpdir(), 'strongroom-ceremony-'));
  for (const [index, { pem }] of custodians.entries()) {
    await writeFile(join(place, `${index}.pem`), pem.privateKey);
    await writeFile(join(place, `${index}.cer`), pem.certificate);
  }
}, 120_000);
afterAll(async () => {
  await lost.stop();
  await fresh.stop();
  await token.remove();
  await rm(place, { recursive: true });
});

type Call = ProductionService['admin'];
const ask = (call: Call, method: string, path: string, body?: unknown, version = '7.5') =>
  call(method, `${path}?api-version=${version}`, body);
const strongroom = (settings: NodeJS.ProcessEnv, ...words: readonly string[]) =>
  run(process.execPath, [MAIN, ...words], { env: settings });
/** What refuses a command. */
const refusal = async (command: Promise<unknown>) =>
  command.then(
    () => '',
    (error: unknown) => (error as { stderr: string }).stderr,
  );

async function statusOf(call: Call, address: string): Promise<string> {
  for (;;) {
    const answer = await call('GET', address);
    const { status } = answer.json<{ status: string }>();
    if (status !== 'InProgress') return status;
    expect(answer.headers['retry-after']).toBeDefined();
    await delay(500);
  }
}

/** What custodians do on a machine of their own. @returns the path of the restore blob */
async function restoreBlob(
  name: string,
  domain: string,
  keys: readonly (number | string)[],
): Promise<string> {
  const file = (ending: string) => join(place, `${name}.${ending}`);
  await writeFile(file('domain'), domain);
  const { text } = await ask(fresh.admin, 'GET', '/securitydomain/upload');
  await writeFile(file('transfer'), text);
  await strongroom(
    {},
    ...['security-domain', 'restore-blob', file('domain'), '--transfer-key', file('transfer')],
    ...['--key', ...keys.map((key) => join(place, `${key}.pem`)), '--out', file('blob')],
  );
  return file('blob');
}

const upload = async (blob: string) =>
  ask(fresh.admin, 'POST', '/securitydomain/upload', { value: await readFile(blob, 'utf8') });
const restore = (value: string) => ask(fresh.admin, 'POST', '/keys/restore', { value });

describe('a pool that nothing has activated', () => {
  test.each([
    ['POST', '/keys/k/create', { kty: 'EC-HSM' }],
    ['GET', '/keys', undefined],
    ['POST', '/keys/restore', { value: 'AAAA' }],
    ['POST', '/rng', { count: 16 }],
  ] as const)('refuses %s %s with a sentence that says what to do', async (method, path, body) => {
    const answer = await ask(lost.admin, method, path, body);
    expect([answer.status, answer.json()]).toMatchObject([
      403,
      {
        error: {
          code: 'Forbidden',
          message: expect.stringContaining('security-domain download') as unknown,
          innererror: { code: 'PoolNotActivated' },
        },
      },
    ]);
  });

  test.each([
    '/settings',
    '/capabilities',
    '/root-keys',
    '/audit/events',
    '/providers/Microsoft.Authorization/roleDefinitions',
  ])('answers GET %s', async (path) => {
    expect((await ask(lost.admin, 'GET', path)).status).toBe(200);
  });

  test('is what doctor warns of', async () => {
    const { stdout } = await strongroom(lost.settings, 'doctor').catch(
      (error: unknown) => error as { stdout: string },
    );
    expect(stdout).toContain('serves no key operations until then');
  });
});

describe('the security domain', () => {
  test('is not made for too few custodians, nor where its file cannot be written', async () => {
    const certificates = CERTIFICATES.slice(0, 2);
    const answer = await ask(lost.admin, 'POST', '/securitydomain/download', { certificates });
    expect(answer.status).toBe(400);
    const asked = ['--certificate', ...[0, 1, 2].map((index) => join(place, `${index}.cer`))];
    const words = ['security-domain', 'download', ...asked, '--required', '2', '--out'] as const;
    expect(await refusal(strongroom(lost.settings, ...words, join(place, '0.cer')))).toContain(
      'it is there already',
    );
    expect(await generations()).toEqual([1]);
    expect((await ask(lost.admin, 'GET', '/securitydomain/download/pending')).status).toBe(404);
  });

  test('activates the pool in all processes, while everything is wrapped by new root keys', async () => {
    const answer = await ask(lost.admin, 'POST', '/securitydomain/download', ASKED);
    expect(answer.status).toBe(202);
    const address = new URL(String(answer.headers['azure-asyncoperation']));
    expect(`${address.pathname}${address.search}`).toBe('/securitydomain/download/pending');
    kept.older = answer.json<{ value: string }>().value;
    expect(JSON.parse(kept.older)).toMatchObject({ SharedKeys: { required: 2 }, version: 2 });
    for (let connection = 0; connection < 8; connection += 1) {
      const call = createCaller(lost.service, lost.adminToken);
      expect((await ask(call, 'GET', '/keys')).status).toBe(200);
      call.close();
    }
    expect((await ask(lost.admin, 'POST', '/securitydomain/download', ASKED)).status).toBe(409);
    await ask(lost.admin, 'POST', '/keys/ec/create', { kty: 'EC-HSM' });
    kept.blob = await valueOf('/keys/ec/backup', {});
    expect(await statusOf(lost.admin, address.pathname)).toBe('Success');
    expect(await generations()).toEqual([2]);
    kept.signature = await valueOf('/keys/ec/sign', { alg: 'ES256', value: VALUE });
  }, 120_000);

  test('is made by a command as well, and replaces the one before', async () => {
    const file = join(place, 'domain.json');
    const asked = ['--certificate', ...[0, 1, 2].map((index) => join(place, `${index}.cer`))];
    const words = ['security-domain', 'download', ...asked, '--required', '2', '--out', file];
    await strongroom(lost.settings, ...words);
    kept.domain = await readFile(file, 'utf8');
    expect(await statusOf(lost.admin, '/securitydomain/download/pending')).toBe('Success');
    expect(await generations()).toEqual([3]);
    await ask(lost.admin, 'POST', '/keys/later/create', { kty: 'EC-HSM' });
    kept.later = await valueOf('/keys/later/backup', {});
    const { stdout } = await strongroom(lost.settings, 'doctor').catch(
      (error: unknown) => error as { stdout: string },
    );
    expect(stdout).toMatch(/security domain\s+It is that of .*, which 2 of 3 custodians open/);
  }, 120_000);

  test('is for a transfer key that clients read as they are used to', async () => {
    const transferKey = async (version: string) =>
      (await ask(fresh.admin, 'GET', '/securitydomain/upload', undefined, version)).json<{
        key_format: string;
        transfer_key: unknown;
      }>();
    const [older, newer] = [await transferKey('7.5'), await transferKey('7.6')];
    expect([older.key_format, typeof older.transfer_key]).toEqual(['jwk', 'string']);
    expect(JSON.parse(String(older.transfer_key))).toEqual(newer.transfer_key);
  });

  test('from before a later download opens nothing that is newer', async () => {
    expect((await upload(await restoreBlob('older', kept.older, [0, 1]))).status).toBe(202);
    expect((await restore(kept.later)).json()).toMatchObject({
      error: { code: 'MalformedBackupBlob' },
    });
  });

  test.each(PAIRS.slice(1))(
    'is opened by the custodians %i and %i for a new pool',
    async (...pair) => {
      const answer = await upload(await restoreBlob(`of-${pair.join('-')}`, kept.domain, pair));
      expect(answer.status).toBe(202);
      expect(answer.json()).toMatchObject({ status: 'InProgress' });
      const address = new URL(String(answer.headers['azure-asyncoperation']));
      expect(await statusOf(fresh.admin, address.pathname)).toBe('Success');
    },
  );

  test('is not opened by one of them', async () => {
    expect(await refusal(restoreBlob('of-one', kept.domain, [1]))).toContain(
      'needs the keys of 2 custodians; there are 1',
    );
  });

  test('is opened by the first two as well, is taken once with one transfer key, and another domain is not taken at all', async () => {
    const blob = await restoreBlob('twice', kept.domain, PAIRS[0]);
    expect((await upload(blob)).status).toBe(202);
    expect((await upload(blob)).json()).toMatchObject({
      error: {
        code: 'BadParameter',
        message: expect.stringContaining('no transfer key') as unknown,
      },
    });
    const other = await upload(await restoreBlob('other', azureDomain.text, [0, 1]));
    expect([other.status, other.json()]).toMatchObject([400, { error: { code: 'BadParameter' } }]);
  });

  test('opens what was backed up before it was made, and after', async () => {
    for (const blob of [kept.blob, kept.later]) expect((await restore(blob)).status).toBe(200);
    const verified = await ask(fresh.admin, 'POST', '/keys/ec/verify', {
      ...{ alg: 'ES256', digest: VALUE, value: kept.signature },
    });
    expect(verified.json()).toMatchObject({ value: true });
  });

  test('is not taken by a pool that holds keys', async () => {
    const blob = await restoreBlob('late', kept.domain, [0, 1]);
    const answer = await upload(blob);
    expect([answer.status, answer.json()]).toMatchObject([
      409,
      { error: { message: expect.stringContaining('This pool holds keys') as unknown } },
    ]);
  });

  test('leaves records that say who opens it, in logs that verify', async () => {
    const recordsOf = async (call: Call, operation: string) =>
      (await ask(call, 'GET', '/audit/events', undefined, `7.5&operation=${operation}`)).text;
    const downloads = await recordsOf(lost.admin, 'SecurityDomainBackup');
    for (const { certificate } of custodians) expect(downloads).toContain(certificate.thumbprint);
    expect(await recordsOf(fresh.admin, 'SecurityDomainRestore')).toContain('"generation":3');
    for (const { settings } of [lost, fresh]) await strongroom(settings, 'audit', 'verify');
  });
});

describe('what a ceremony leaves behind', () => {
  let secrets: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  beforeAll(async () => {
    secrets = [
      ...(await secretsOf(kept.older, 'older')),
      ...(await secretsOf(kept.domain, 'newest')),
      { name: 'PIN', bytes: Buffer.from(lost.settings['PKCS11_PIN'] ?? '') },
    ];
  });

  const expectNone = (haystack: string) => {
    for (const { name, bytes } of secrets)
      for (const form of formsOf(bytes))
        expect([name, haystack.includes(form)]).toEqual([name, false]);
  };

  test('is really looked for: these are the root keys, and what they were wrapped by', () => {
    expect(secrets.map(({ name }) => name)).toEqual([
      ...['older', 'newest'].flatMap((of) =>
        [
          ...['master', 'share 1', 'share 2', 'share 3', 'one-time key', 'root-wrap', 'root-seal'],
          ...['wrapped root-wrap', 'wrapped root-seal', 'key of the one-time key'],
        ].map((what) => `${what} of ${of}`),
      ),
      'PIN',
    ]);
    for (const { name, bytes } of secrets.slice(0, -1))
      expect([name, bytes.length >= 32]).toEqual([name, true]);
  });

  test('holds no secret: logs, metrics, rows and files', async () => {
    for (const pool of [lost, fresh]) {
      expectNone(pool.service.output());
      const owner = new pg.Client({ connectionString: pool.database.ownerUrl });
      await owner.connect();
      const tables = await owner.query<{ name: string }>(
        `select quote_ident(table_name) as name from information_schema.tables where table_schema = 'public'`,
      );
      for (const { name } of tables.rows) {
        const { rows } = await owner.query<{ row: string }>(
          `select ${name}::text as row from ${name}`,
        );
        expectNone(rows.map(({ row }) => row).join('\n'));
      }
      await owner.end();
    }
    for (const entry of await readdir(place, { withFileTypes: true, recursive: true }))
      if (entry.isFile() && !entry.name.endsWith('.pem'))
        expectNone(await readFile(join(entry.parentPath, entry.name), 'latin1'));
  });

  if (!CAN_READ_MEMORY) console.warn('skipped: there is no /proc here, which shows memory');
  (CAN_READ_MEMORY ? describe : describe.skip)('in memory', () => {
    test('is in no process that goes on', async () => {
      const needles = secrets.flatMap(({ name, bytes }) =>
        formsOf(bytes).map((form) => ({ name, bytes: Buffer.from(form, 'latin1') })),
      );
      for (const { service } of [lost, fresh]) {
        const workers = await workersOf(service);
        expect(workers.length).toBeGreaterThan(0);
        // They open the token by the PIN, so that it is there: this looks where secrets would be.
        for (const pid of [service.process.pid ?? 0, ...workers])
          expect([pid, await findInMemory(pid, needles)]).toEqual([pid, ['PIN']]);
      }
    }, 120_000);
  });
});

async function generations(): Promise<readonly number[]> {
  const { text } = await ask(lost.admin, 'GET', '/root-keys');
  const known = JSON.parse(text) as { generations: { number: number }[] };
  return known.generations.map(({ number }) => number);
}

async function valueOf(path: string, body: object): Promise<string> {
  const answer = await ask(lost.admin, 'POST', path, body);
  expect([path, answer.status]).toEqual([path, 200]);
  return answer.json<{ value: string }>().value;
}

/** With all custodians' keys in hand. */
async function secretsOf(text: string, of: string) {
  const domain = parseDomain(text);
  const envelopes = createEnvelopes();
  const shares = await Promise.all(
    custodians.map(({ privateKey }) => openShare(envelopes, domain, privateKey)),
  );
  const entries = await openDomain(envelopes, domain, shares);
  const master = combineShares(shares, domain.required);
  const entry = (tag: string) =>
    Buffer.from(entries.find((one) => one.tag === tag)?.plaintext ?? []);
  const key = entry('strongroom-one-time-key');
  const unwrapped = (tag: string) => {
    const unwrap = createDecipheriv('id-aes256-wrap-pad', key, Buffer.from('a65959a6', 'hex'));
    return Buffer.concat([unwrap.update(entry(tag)), unwrap.final()]);
  };
  return [
    { name: `master of ${of}`, bytes: Buffer.from(master ?? []) },
    ...shares.map(({ number, values }) => ({
      name: `share ${number} of ${of}`,
      bytes: Buffer.from(encodeShare({ number, values })),
    })),
    { name: `one-time key of ${of}`, bytes: key },
    { name: `root-wrap of ${of}`, bytes: unwrapped('strongroom-root-wrap') },
    { name: `root-seal of ${of}`, bytes: unwrapped('strongroom-root-seal') },
    { name: `wrapped root-wrap of ${of}`, bytes: entry('strongroom-root-wrap') },
    { name: `wrapped root-seal of ${of}`, bytes: entry('strongroom-root-seal') },
    {
      name: `key of the one-time key of ${of}`,
      bytes: deriveEntryKey(master ?? Buffer.alloc(0), 'strongroom-one-time-key'),
    },
  ];
}

/** Every form in which bytes could stand in a text or a file. */
function formsOf(bytes: Uint8Array): string[] {
  const buffer = Buffer.from(bytes);
  const base64 = buffer.toString('base64').replace(/=+$/, '').slice(0, -1);
  return [
    buffer.toString('latin1'),
    buffer.toString('hex'),
    buffer.toString('hex').toUpperCase(),
    base64,
    buffer.toString('base64url').slice(0, -1),
  ];
}
