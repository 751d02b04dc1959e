import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from '@jest/globals';
import { prepareDevelopmentCertificate } from '../../../src/setup/trust/development-ca.ts';
import { type EndedCommand, openCommandHost } from '../../support/commands.ts';
import { createTestDatabase } from '../../support/postgres.ts';
import { prepareProduction } from '../../support/production.ts';
import { withClient } from '../../support/store.ts';

const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const production = await prepareProduction();
const { place, settings: given } = production;
const newer = await createTestDatabase();
await withClient(newer.ownerUrl, (client) =>
  client.query(`insert into schema_migration (name, checksum) values ('9999_later.sql', 'x')`),
);
const listener = createServer().listen(0, '127.0.0.1');
await once(listener, 'listening');
const host = await openCommandHost();
const taken = `127.0.0.1:${(listener.address() as AddressInfo).port}`;

afterAll(async () => {
  await host.close();
  listener.close();
  await newer.drop();
  await production.remove();
});

const missing = join(place, 'not-there');
const garbage = join(place, 'garbage');
await writeFile(garbage, 'garbage\n');
const othersKey = join(place, 'others.pem');
await mkdir(join(place, 'other'));
const other = await prepareDevelopmentCertificate(join(place, 'other'), {
  domain: 'other.example',
});
await writeFile(othersKey, other.privateKey);

/** Gives nothing: what a development start makes itself. */
const NOTHING = {
  DATABASE_URL: '',
  PKCS11_MODULE: '',
  PKCS11_TOKEN_LABEL: '',
  PKCS11_PIN: '',
  STRONGROOM_TLS_CERT_FILE: '',
  STRONGROOM_TLS_KEY_FILE: '',
};

/** A data folder of which that is left. */
async function folderWith(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = join(place, name);
  await mkdir(folder, { mode: 0o700 });
  for (const [file, content] of Object.entries(files)) await writeFile(join(folder, file), content);
  return folder;
}

const administrator = JSON.stringify(production.credentials);
const folders = {
  corruptCa: await folderWith('corrupt-ca', { 'ca.pem': 'garbage' }),
  lostCa: await folderWith('lost-ca', { 'server.pem': other.certificate + other.privateKey }),
  lostToken: await folderWith('lost-token', { 'administrator.json': administrator }),
  lostDatabase: await folderWith('lost-database', { 'administrator.json': administrator }),
  emptied: await folderWith('emptied', { 'administrator.json': administrator }),
};
await mkdir(join(folders.lostDatabase, 'tokens'));

const COMMON = {
  ...given,
  STRONGROOM_LISTEN: '127.0.0.1:0',
  STRONGROOM_METRICS_LISTEN: '',
  STRONGROOM_IDENTITY_LISTEN: '',
  STRONGROOM_WORKERS: '1',
  STRONGROOM_LOG_LEVEL: 'fatal',
  STRONGROOM_DATA_DIR: join(place, 'unused'),
};

/** In a process of its own. */
function runAlone(
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<EndedCommand> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...words], { env }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), words: stdout + stderr });
    });
  });
}

type Fault = [
  fault: string,
  settings: Readonly<Record<string, string>>,
  names: readonly string[],
  command?: string,
];

const faults: Fault[] = [
  ['the port is taken', { STRONGROOM_LISTEN: taken }, ['STRONGROOM_LISTEN', taken]],
  [
    'the port for metrics is taken',
    { STRONGROOM_METRICS_LISTEN: taken },
    ['STRONGROOM_METRICS_LISTEN', taken],
  ],
  [
    'the port of managed identities is taken',
    { STRONGROOM_IDENTITY_LISTEN: taken },
    ['STRONGROOM_IDENTITY_LISTEN', taken],
  ],
  [
    'the address is of another machine',
    { STRONGROOM_LISTEN: '192.0.2.1:0' },
    ['STRONGROOM_LISTEN', '192.0.2.1'],
  ],
  [
    'the PIN is wrong',
    { PKCS11_PIN: 'a wrong PIN' },
    ['PKCS11_PIN', given['PKCS11_TOKEN_LABEL'] ?? ''],
  ],
  ['the PIN is too short', { PKCS11_PIN: '1' }, ['PKCS11_PIN']],
  [
    'the file of the PIN is missing',
    { PKCS11_PIN: '', PKCS11_PIN_FILE: missing },
    ['PKCS11_PIN_FILE', missing],
  ],
  [
    'no token has the label',
    { PKCS11_TOKEN_LABEL: 'nobody' },
    ['PKCS11_TOKEN_LABEL', '"nobody"', given['PKCS11_TOKEN_LABEL'] ?? ''],
  ],
  ['the module is missing', { PKCS11_MODULE: missing }, ['PKCS11_MODULE', missing]],
  ['the module is no library', { PKCS11_MODULE: garbage }, ['PKCS11_MODULE', garbage]],
  ['the module is a folder', { PKCS11_MODULE: place }, ['PKCS11_MODULE', place]],
  [
    'the module has no configuration',
    { SOFTHSM2_CONF: missing },
    ['PKCS11_MODULE', given['PKCS11_MODULE'] ?? '', 'SOFTHSM2_CONF'],
  ],
  ['no pool has the name', { STRONGROOM_POOL: 'nobody' }, ['STRONGROOM_POOL', '"nobody"']],
  ['no database is named', { DATABASE_URL: '' }, ['DATABASE_URL'], 'migrate'],
  [
    'bootstrap: the schema is newer',
    { DATABASE_URL: newer.ownerUrl },
    ['newer', 'sql/9999_later.sql'],
    'bootstrap --credentials unused',
  ],
  ...(
    [
      ['the certificate', ['STRONGROOM_TLS_CERT_FILE', 'STRONGROOM_TLS_KEY_FILE']],
      ['the HSM', ['PKCS11_MODULE', 'PKCS11_TOKEN_LABEL', 'PKCS11_PIN']],
      ['the database', ['DATABASE_URL']],
    ] as const
  ).map(([what, settings]): Fault => [
    `${what} is forgotten and the rest is given`,
    Object.fromEntries(settings.map((name) => [name, ''])),
    [settings[0], 'missing', '--development'],
  ]),
  ...['serve', 'migrate'].flatMap((command): Fault[] => [
    [
      `${command}: the host of the database does not resolve`,
      { DATABASE_URL: 'postgres://u:secret@nowhere.invalid/strongroom' },
      ['DATABASE_URL'],
      command,
    ],
    [
      `${command}: nobody listens where the database is said to be`,
      { DATABASE_URL: 'postgres://u:secret@127.0.0.1:1/strongroom' },
      ['DATABASE_URL'],
      command,
    ],
    [
      `${command}: the database's URL is malformed`,
      { DATABASE_URL: 'postgres://u:secret@[::1/strongroom' },
      ['DATABASE_URL'],
      command,
    ],
    [
      `${command}: the schema is newer`,
      { DATABASE_URL: newer.ownerUrl },
      ['newer', 'sql/9999_later.sql'],
      command,
    ],
  ]),
  [
    'a development start: the schema of its database is newer',
    { ...NOTHING, DATABASE_URL: newer.ownerUrl, STRONGROOM_DATA_DIR: join(place, 'fresh') },
    ['newer', 'sql/9999_later.sql'],
  ],
  [
    "the database's URL has another scheme",
    { DATABASE_URL: 'mysql://u:secret@127.0.0.1/strongroom' },
    ['DATABASE_URL'],
  ],
  ...(
    [
      ['STRONGROOM_TLS_CERT_FILE', 'certificate'],
      ['STRONGROOM_TLS_KEY_FILE', 'key'],
      ['STRONGROOM_ISSUERS_FILE', 'file of issuers'],
      ['STRONGROOM_ISSUERS_CA_FILE', "file of the issuers' CA"],
      ['STRONGROOM_ATTESTATION_CA_FILE', "file of the attestation authorities' CA"],
    ] as const
  ).flatMap(([setting, what]): Fault[] => [
    [`the ${what} is missing`, { [setting]: missing }, [setting, missing]],
    [`the ${what} is corrupt`, { [setting]: garbage }, [setting, garbage]],
  ]),
  [
    'the file of issuers is a folder',
    { STRONGROOM_ISSUERS_FILE: place },
    ['STRONGROOM_ISSUERS_FILE', place],
  ],
  [
    'the key is not the one of the certificate',
    { STRONGROOM_TLS_KEY_FILE: othersKey },
    ['STRONGROOM_TLS_KEY_FILE', othersKey, 'STRONGROOM_TLS_CERT_FILE'],
  ],
  [
    'the data folder is below a file',
    { ...NOTHING, STRONGROOM_DATA_DIR: join(garbage, 'data') },
    ['STRONGROOM_DATA_DIR', join(garbage, 'data')],
  ],
  [
    'the data folder is where no folder can be made',
    { ...NOTHING, STRONGROOM_DATA_DIR: '/proc/strongroom' },
    ['STRONGROOM_DATA_DIR', '/proc/strongroom'],
  ],
  [
    'ca.pem is corrupt',
    { ...NOTHING, STRONGROOM_DATA_DIR: folders.corruptCa },
    [join(folders.corruptCa, 'ca.pem')],
  ],
  [
    'ca.pem is lost',
    { ...NOTHING, STRONGROOM_DATA_DIR: folders.lostCa },
    [join(folders.lostCa, 'ca.pem'), 'lost'],
  ],
  [
    'the token is lost, and the administrator is not',
    { ...NOTHING, STRONGROOM_DATA_DIR: folders.lostToken },
    [join(folders.lostToken, 'tokens'), 'lost', 'STRONGROOM_DATA_DIR'],
  ],
  [
    'the database is lost, and the administrator is not',
    { ...NOTHING, STRONGROOM_DATA_DIR: folders.lostDatabase },
    [join(folders.lostDatabase, 'administrator.json'), 'database is lost', 'STRONGROOM_DATA_DIR'],
  ],
  [
    'the database is another one than that of the administrator',
    {
      ...NOTHING,
      DATABASE_URL: production.database.ownerUrl,
      STRONGROOM_POOL: 'elsewhere',
      PKCS11_MODULE: given['PKCS11_MODULE'] ?? '',
      PKCS11_TOKEN_LABEL: given['PKCS11_TOKEN_LABEL'] ?? '',
      PKCS11_PIN: given['PKCS11_PIN'] ?? '',
      STRONGROOM_DATA_DIR: folders.emptied,
    },
    [join(folders.emptied, 'administrator.json'), 'database is lost', 'DATABASE_URL'],
    'serve --development',
  ],
];

const filesOf = async (): Promise<string[]> =>
  (await Promise.all(Object.values(folders).map((folder) => readdir(folder)))).flat();

async function expectSentence(
  run: typeof runAlone,
  [, settings, names, command = 'serve']: Fault,
): Promise<void> {
  const before = await filesOf();
  const { status, words } = await run(command.split(' '), { ...COMMON, ...settings });
  expect(words).toMatch(/^strongroom: [^\n]+\n$/);
  for (const name of names) expect(words).toContain(name);
  expect(words).not.toMatch(/secret|a wrong PIN/);
  expect([1, 2]).toContain(status);
  expect(await filesOf()).toEqual(before);
}

test('a certificate that is forgotten costs the database nothing: it is not even migrated', async () => {
  const empty = await createTestDatabase('template1');
  const settings = { ...COMMON, ...NOTHING, DATABASE_URL: empty.ownerUrl };
  const pkcs11 = Object.fromEntries(
    Object.entries(given).filter(([name]) => name.startsWith('PKCS11_')),
  );
  const { status } = await host.run(['serve'], { ...settings, ...pkcs11 });
  const tables = await withClient(empty.ownerUrl, (client) =>
    client.query("select from pg_tables where schemaname = 'public'"),
  );
  await empty.drop();
  expect([status, tables.rowCount]).toEqual([1, 0]);
});

test.each(faults)('where %s, one sentence says what to mend', async (...fault) => {
  await expectSentence(host.run, fault);
});

/** One of each part of the service that finds it. */
const ALONE = [
  'the port is taken',
  'the port for metrics is taken',
  'no database is named',
  'migrate: the schema is newer',
  'bootstrap: the schema is newer',
  'a development start: the schema of its database is newer',
  'the key is corrupt',
  'the token is lost, and the administrator is not',
];

test.each(ALONE)('where %s, the process ends with it', async (name) => {
  const fault = faults.find(([one]) => one === name);
  await expectSentence(runAlone, fault ?? [name, {}, ['no such fault']]);
});
