import { beforeAll, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { isSealed } from '../../support/keeping.ts';
import { outsideRsa } from '../../support/plain-keys.ts';
import { ownerUrl } from '../../support/cluster.ts';
import { useService } from '../../support/use-service.ts';

/** Keys from outside: one that is taken, and one that isn't. */
const BROUGHT = outsideRsa(2048);
const BROUGHT_AES = randomBytes(32);
const REFUSED = outsideRsa(2048);

const run = promisify(execFile);
const REVEAL = fileURLToPath(new URL('../../support/reveal-keys.mjs', import.meta.url));

interface Row {
  name_key: string;
  key_type: string;
  blob: Buffer;
  mac_blob: Buffer | null;
}

/**
 * The test is let in where nobody else is: it has the token's PIN, and unwraps the sealed keys with the root key into
 * objects that show themselves. With the real secrets in hand it searches everything that is outside the HSM for them.
 * Resident keys show themselves to nobody: of those it searches for the ones that it has brought.
 */
const { service, admin, adminToken, atEnd } = useService({
  STRONGROOM_WORKERS: '1',
  STRONGROOM_LOG_LEVEL: 'debug',
});
let database: pg.Client;
const answers: string[] = [];
let secrets: { name: string; bytes: Buffer }[];
let search: RegExp | undefined;

beforeAll(async () => {
  const call = async (method: string, path: string, body?: unknown) => {
    answers.push((await admin(method, path, body)).text);
  };
  const value = Buffer.alloc(32, 7).toString('base64url');
  for (const [name, body] of [
    ['rsa', { kty: 'RSA' }],
    ['ec', { kty: 'EC' }],
    ['k1', { kty: 'EC', crv: 'P-256K' }],
    ['aes', { kty: 'oct' }],
  ] as const)
    await call('POST', `/keys/${name}/create`, body);
  for (const [path, body] of [
    ['rsa/sign', { alg: 'RS256', value }],
    ['rsa/decrypt', { alg: 'RSA-OAEP', value }],
    ['ec/sign', { alg: 'ES256', value }],
    ['k1/sign', { alg: 'ES256K', value }],
    ['aes/wrapkey', { alg: 'A256KW', value }],
    ['aes/sign', { alg: 'HS256', value }],
    ['aes/encrypt', { alg: 'A256GCM', value }],
    ['aes/unwrapkey', { alg: 'A256KW', value: 'broken' }],
  ] as const)
    await call('POST', `/keys/${path}`, body);
  await call('PUT', '/keys/brought', { key: BROUGHT.jwk });
  await call('PUT', '/keys/brought-aes', {
    key: { kty: 'oct', k: BROUGHT_AES.toString('base64url') },
  });
  await call('PUT', '/keys/refused', { key: { ...REFUSED.jwk, qi: BROUGHT.jwk['qi'] } });
  await call('PUT', '/keys/refused', JSON.stringify({ key: REFUSED.jwk }).slice(0, -3));
  for (const name of ['rsa', 'ec', 'aes', 'brought', 'brought-aes'])
    await call('POST', `/keys/${name}/backup`);
  for (const path of ['/keys', '/keys/rsa', '/keys/aes', '/audit/events?maxresults=1000'])
    await call('GET', path);

  database = new pg.Client({ connectionString: await ownerUrl(service.dataFolder) });
  await database.connect();
  atEnd(() => database.end());
  const fromOutside = (member: string) => ({
    brought: Buffer.from(BROUGHT.jwk[member] ?? '', 'base64url'),
    refused: Buffer.from(REFUSED.jwk[member] ?? '', 'base64url'),
  });
  const [exponents, primes] = [fromOutside('d'), fromOutside('p')];
  secrets = [
    ...(isSealed
      ? await revealed()
      : [
          { name: 'brought', bytes: exponents.brought },
          { name: 'brought prime', bytes: primes.brought },
          { name: 'brought-aes', bytes: BROUGHT_AES },
        ]),
    { name: 'refused', bytes: exponents.refused },
    { name: 'refused prime', bytes: primes.refused },
  ];
});

async function revealed(): Promise<{ name: string; bytes: Buffer }[]> {
  const { rows } = await database.query<Row>('select * from key_version');
  const blobs = rows.flatMap(({ name_key, key_type, blob, mac_blob }) => [
    { name: name_key, type: key_type, blob: blob.toString('hex') },
    ...(mac_blob === null
      ? []
      : [{ name: `${name_key} (MAC)`, type: 'oct-HSM', blob: mac_blob.toString('hex') }]),
  ]);
  const pin = (await readFile(join(service.dataFolder, 'pkcs11-pin'), 'utf8')).trim();
  const { stdout } = await run(process.execPath, [REVEAL], {
    env: {
      PATH: process.env['PATH'],
      SOFTHSM2_CONF: join(service.dataFolder, 'softhsm2.conf'),
      REVEAL: JSON.stringify({ pin, blobs }),
    },
  });
  return (JSON.parse(stdout) as { name: string; value: string }[]).map(({ name, value: text }) => ({
    name,
    bytes: Buffer.from(text, 'hex'),
  }));
}

/** Every form in which bytes could stand in a text or a file. */
function formsOf(bytes: Buffer): string[] {
  return [
    bytes.toString('latin1'),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    bytes.toString('base64').replace(/=+$/, '').slice(0, -1),
    bytes.toString('base64url').slice(0, -1),
  ];
}

/** All forms at once: one by one they would take seconds over a whole cluster. */
function anyForm(): RegExp {
  const forms = secrets.flatMap(({ bytes }) => formsOf(bytes));
  const found = new RegExp(
    forms.map((form) => form.replace(/[$()*+./?[\\\]^{|}-]/g, '\\$&')).join('|'),
  );
  for (const form of forms) expect(found.test(`before ${form} after`)).toBe(true);
  return found;
}

function expectNone(haystack: string): void {
  search ??= anyForm();
  if (!search.test(haystack)) return;
  for (const { name, bytes } of secrets)
    for (const form of formsOf(bytes))
      expect([name, haystack.includes(form)]).toEqual([name, false]);
}

/** PostgreSQL goes on working while its files are looked through. */
function ifGone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

describe('a private or secret key', () => {
  test('is really what this test looks for', () => {
    const fromOutside = ['brought', 'brought prime', 'brought-aes', 'refused', 'refused prime'];
    const made = ['aes', 'aes (MAC)', 'brought-aes (MAC)', 'ec', 'k1', 'rsa', 'rsa prime'];
    expect(secrets.map(({ name }) => name).sort()).toEqual(
      [...fromOutside, ...(isSealed ? made : [])].sort(),
    );
    for (const { bytes } of secrets) expect(bytes.length).toBeGreaterThanOrEqual(31);
  });

  test('is in no answer', () => {
    expectNone(answers.join('\n'));
  });

  test('is in no log line', () => {
    expect(service.output()).toContain('"operation":"KeyImport","status":400');
    expectNone(service.output());
  });

  test("is in no row of Postgres, nor in any file of its cluster's", async () => {
    const tables = await database.query<{ name: string }>(
      `select quote_ident(table_name) as name from information_schema.tables where table_schema = 'public'`,
    );
    for (const { name } of tables.rows) {
      const { rows } = await database.query<{ row: string }>(
        `select ${name}::text as row from ${name}`,
      );
      expectNone(rows.map(({ row }) => row).join('\n'));
    }
    await database.query('checkpoint').catch(() => undefined);
    const location = (
      await readFile(join(service.dataFolder, 'postgres-location'), 'utf8').catch(() =>
        join(service.dataFolder, 'postgres'),
      )
    ).trim();
    for (const file of await filesBelow(location)) {
      const size = (await stat(file).catch(ifGone))?.size ?? 0;
      const bytes = size < 64 * 1024 ** 2 ? await readFile(file).catch(ifGone) : undefined;
      if (bytes !== undefined) expectNone(bytes.toString('latin1'));
    }
  });

  test('is in no file of the data folder: the token itself holds the root keys only, encrypted', async () => {
    for (const file of await filesBelow(service.dataFolder))
      expectNone((await readFile(file)).toString('latin1'));
  });
});

test('what opens the HSM, the database and the service is in no log line', async () => {
  const kept = await Promise.all(
    ['pkcs11-pin', 'postgres-owner-password', 'postgres-service-password'].map(async (file) =>
      (await readFile(join(service.dataFolder, file), 'utf8')).trim(),
    ),
  );
  const [, , signature = ''] = adminToken().split('.');
  for (const secret of [...kept, service.client['AZURE_CLIENT_SECRET'] ?? '', signature]) {
    expect(secret.length).toBeGreaterThan(3);
    expect(service.output()).not.toContain(secret);
  }
});

(isSealed ? describe : describe.skip)(
  'with the true key in hand, an independent implementation',
  () => {
    const plaintext = Buffer.from('thirty-two bytes of a plaintext.');
    const keyOf = (name: string) =>
      secrets.find((secret) => secret.name === name)?.bytes ?? Buffer.alloc(0);
    const ask = async (operation: string, body: object) =>
      (await admin('POST', `/keys/aes/${operation}`, body)).json<
        Record<'value' | 'iv' | 'tag', string>
      >();
    const bytes = (text: string) => Buffer.from(text, 'base64url');

    test('decrypts what A256GCM has encrypted', async () => {
      const aad = Buffer.from('context');
      const sealed = await ask('encrypt', {
        alg: 'A256GCM',
        value: plaintext.toString('base64url'),
        aad: aad.toString('base64url'),
      });
      const decipher = createDecipheriv('aes-256-gcm', keyOf('aes'), bytes(sealed.iv)).setAAD(aad);
      decipher.setAuthTag(bytes(sealed.tag));
      expect(Buffer.concat([decipher.update(bytes(sealed.value)), decipher.final()])).toEqual(
        plaintext,
      );
    });

    test.each([
      ['A256CBC', false],
      ['A256CBCPAD', true],
    ])('decrypts what %s has encrypted', async (alg, isPadded) => {
      const iv = Buffer.alloc(16, 5);
      const { value } = await ask('encrypt', {
        alg,
        value: plaintext.toString('base64url'),
        iv: iv.toString('base64url'),
      });
      const decipher = createDecipheriv('aes-256-cbc', keyOf('aes'), iv).setAutoPadding(isPadded);
      expect(Buffer.concat([decipher.update(bytes(value)), decipher.final()])).toEqual(plaintext);
    });

    test.each([
      ['A256KW', 'id-aes256-wrap', 'a6a6a6a6a6a6a6a6'],
      ['CKM_AES_KEY_WRAP', 'id-aes256-wrap', 'a6a6a6a6a6a6a6a6'],
      ['CKM_AES_KEY_WRAP_PAD', 'id-aes256-wrap-pad', 'a65959a6'],
    ])('unwraps what %s has wrapped', async (alg, cipher, iv) => {
      const { value } = await ask('wrapkey', { alg, value: plaintext.toString('base64url') });
      const decipher = createDecipheriv(cipher, keyOf('aes'), Buffer.from(iv, 'hex'));
      expect(Buffer.concat([decipher.update(bytes(value)), decipher.final()])).toEqual(plaintext);
    });

    test.each([
      ['HS256', 'sha256'],
      ['HS384', 'sha384'],
      ['HS512', 'sha512'],
    ])('makes the same %s', async (alg, hash) => {
      const { value } = await ask('sign', { alg, value: plaintext.toString('base64url') });
      expect(bytes(value)).toEqual(createHmac(hash, keyOf('aes (MAC)')).update(plaintext).digest());
    });
  },
);
