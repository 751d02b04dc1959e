import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { azureDomain } from '../support/azure-domain.ts';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const DIST = new URL('../../dist/', import.meta.url).href;
const LIST_MODULES = new URL('../support/list-modules.mjs', import.meta.url).href;
/** What speaks to the database, decides and drives the HSM. */
const HEAVY = ['casbin', 'graphene-pk11', 'kysely', 'pg', 'pkcs11js'];

const DOMAIN = join(tmpdir(), `strongroom-domain-${process.pid}.json`);
beforeAll(() => writeFile(DOMAIN, azureDomain.text));
afterAll(() => rm(DOMAIN, { force: true }));

/** @returns the packages of which the command has loaded something, and how many modules of our own */
async function modulesOf(words: readonly string[], environment: Record<string, string> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-modules-'));
  const list = join(folder, 'modules');
  const env = { PATH: process.env['PATH'], LIST_MODULES: list, ...environment };
  const status = await new Promise<unknown>((resolve) => {
    execFile(process.execPath, ['--import', LIST_MODULES, MAIN, ...words], { env }, (error) => {
      resolve(error?.code ?? 0);
    });
  });
  const files = (await readFile(list, 'utf8')).split('\n');
  await rm(folder, { recursive: true });
  const paths = [...files, ...(await Promise.all(files.map(bundledIn))).flat()];
  const packages = paths.flatMap(
    (path) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? [],
  );
  return {
    status,
    packages: [...new Set(packages)].sort(),
    own: paths.filter((path) => path.startsWith('../src/')).length,
  };
}

/** The modules that a file of dist has in it, as its source map names them. */
async function bundledIn(url: string): Promise<readonly string[]> {
  if (!url.startsWith(DIST)) return [];
  const map = await readFile(fileURLToPath(`${url}.map`), 'utf8');
  return (JSON.parse(map) as { sources: string[] }).sources;
}

test('import() of a package in CommonJS is left to Node, since the bundler would keep its default export alone', async () => {
  const folder = fileURLToPath(DIST);
  const files = (await readdir(folder)).filter((name) => name.endsWith('.js'));
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')));
  expect(texts.filter((text) => /^export default require_/m.test(text))).toEqual([]);
  expect(files.length).toBeGreaterThan(10);
});

describe('a command loads only what it needs', () => {
  test('identity-agent knows neither database nor HSM', async () => {
    const { status, packages, own } = await modulesOf(
      ['identity-agent', '--', process.execPath, '--version'],
      {
        STRONGROOM_IDENTITY_LISTEN: '127.0.0.1:0',
        AZURE_AUTHORITY_HOST: 'https://localhost:8443',
        AZURE_TENANT_ID: 'adfs',
        AZURE_CLIENT_ID: '3f1c1a52-2f0f-4c3f-9a57-5d6d1f6e7c10',
        AZURE_FEDERATED_TOKEN_FILE: '/nowhere',
      },
    );
    expect(packages).toEqual(expect.arrayContaining(['commander', 'express', 'zod']));
    expect(packages.filter((name) => HEAVY.includes(name))).toEqual([]);
    expect([status, own > 10]).toEqual([0, true]);
  });

  test('serve in production leaves the HSM and the rest of the database to its workers', async () => {
    const { status, packages } = await modulesOf(['serve'], {
      DATABASE_URL: 'postgres://localhost:1/nowhere',
      PKCS11_MODULE: '/nowhere',
      PKCS11_TOKEN_LABEL: 'none',
      PKCS11_PIN: 'none',
      STRONGROOM_TLS_CERT_FILE: '/nowhere',
      STRONGROOM_TLS_KEY_FILE: '/nowhere',
    });
    expect(status).toBe(1);
    expect(packages.filter((name) => HEAVY.includes(name))).toEqual(['pg']);
    expect(packages.filter((name) => name.startsWith('@peculiar/'))).toEqual([]);
  });

  test.each([
    ['--help', ['--help']],
    ['object-id', ['object-id', 'https://issuer.example', 'alice']],
    ['security-domain inspect', ['security-domain', 'inspect', DOMAIN]],
  ])('%s knows neither database nor HSM nor HTTP', async (_name, words) => {
    const { status, packages } = await modulesOf(words);
    expect(status).toBe(0);
    expect(packages).toContain('commander');
    expect(packages.filter((name) => [...HEAVY, 'express'].includes(name))).toEqual([]);
  });

  test('security-domain restore-blob runs on a machine with neither', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'strongroom-ceremony-'));
    const { custodians, transferKey } = azureDomain;
    const files = await Promise.all(
      [transferKey.pem.certificate, ...custodians.slice(1).map(({ pem }) => pem.privateKey)].map(
        async (contents, index) => {
          const path = join(folder, String(index));
          await writeFile(path, contents);
          return path;
        },
      ),
    );
    const [certificate = '', ...keys] = files;
    const out = join(folder, 'blob.json');
    const { status, packages } = await modulesOf([
      ...['security-domain', 'restore-blob', DOMAIN],
      ...['--transfer-key', certificate, '--key', ...keys, '--out', out],
    ]);
    const blob = await readFile(out, 'utf8');
    await rm(folder, { recursive: true });
    expect([status, Object.keys(JSON.parse(blob) as object)]).toEqual([
      0,
      ['EncData', 'WrappedKey'],
    ]);
    expect(packages).toEqual(expect.arrayContaining(['commander', 'jose', 'zod']));
    expect(packages.filter((name) => [...HEAVY, 'express'].includes(name))).toEqual([]);
  });

  // Where this fails, the lists above are empty for want of a list.
  test('a command that migrates is seen to load the database', async () => {
    const { status, packages } = await modulesOf(['migrate'], {
      DATABASE_URL: 'postgres://127.0.0.1:1/x',
    });
    expect(status).toBe(1);
    expect(packages).toEqual(expect.arrayContaining(['commander', 'pg']));
  });
});
