import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { examineMachine } from '../../src/cli/doctor/machine-diagnosis.ts';
import { examineCertificate } from '../../src/config/certificate-diagnosis.ts';
import { readConfig } from '../../src/config/config.ts';
import type { Severity } from '../../src/core/diagnosis/finding.ts';
import { findObjects } from '../../src/hsm/module/calls.ts';
import { openToken, type Token } from '../../src/hsm/module/token.ts';
import { examineDatabase } from '../../src/store/diagnosis/database-diagnosis.ts';
import { prepareDevelopmentCertificate } from '../../src/setup/trust/development-ca.ts';
import { fromGlobalSetup } from '../support/environment.ts';
import { buildModuleShim, hasCompiler } from '../support/module-shim.ts';
import { LIMITS } from '../../src/compose/limits.ts';
import { pgBouncerIsMissing, startPgBouncer } from '../support/pgbouncer.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { type PreparedProduction, prepareProduction } from '../support/production.ts';
import { startService } from '../support/service.ts';
import { testToken } from '../support/softhsm.ts';
import { withClient } from '../support/store.ts';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

interface Report {
  readonly status: number;
  /** Subjects and sentences of a severity, "section: subject: sentence". */
  readonly of: (severity: Severity) => readonly string[];
  readonly capabilities?: {
    readonly keyWrapPadded?: { readonly mechanism: { readonly name: number } };
  };
  readonly output: string;
}

function doctor(
  environment: Readonly<Record<string, string>>,
  ...options: readonly string[]
): Promise<Report> {
  const words = [MAIN, 'doctor', '--json', ...options];
  return new Promise((resolve) => {
    execFile(process.execPath, words, { env: environment }, (error, stdout, stderr) => {
      const { sections = [], capabilities } = JSON.parse(stdout === '' ? '{}' : stdout) as {
        sections?: {
          title: string;
          findings: { severity: Severity; subject: string; sentence: string }[];
        }[];
      } & Pick<Report, 'capabilities'>;
      resolve({
        status: Number(error?.code ?? 0),
        of: (severity) =>
          sections.flatMap(({ title, findings }) =>
            findings
              .filter((one) => one.severity === severity)
              .map(({ subject, sentence }) => `${title}: ${subject}: ${sentence}`),
          ),
        ...(capabilities !== undefined && { capabilities }),
        output: stdout + stderr,
      });
    });
  });
}

/** The tests' PostgreSQL is as quick as can be, and keeps nothing through a crash: of that the doctor warns, rightly. */
const UNSAFE = /Database: durability: (?:fsync|synchronous_commit) is off/;
const faultsOf = ({ of }: Report) => of('fault').filter((line) => !UNSAFE.test(line));

let folder: string;
let pinFile: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  pinFile = join(folder, 'pin');
  await writeFile(pinFile, `${testToken().pin}\n`);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const bare = () => ({
  PATH: process.env['PATH'] ?? '',
  SOFTHSM2_CONF: fromGlobalSetup('SOFTHSM2_CONF'),
});

const alone = (module: string, ...more: readonly string[]) => [
  ...['--module', module, '--token-label', testToken().tokenLabel],
  ...['--pin-file', pinFile, ...more],
];

describe('a module alone', () => {
  test('is examined without any setting, and only SoftHSM itself is warned of', async () => {
    const report = await doctor(bare(), ...alone(testToken().module));
    expect(report.of('fault')).toEqual([]);
    expect(report.of('warning')).toEqual([expect.stringContaining('It is SoftHSM')]);
    expect(report.status).toBe(1);
    expect(report.output).not.toContain(testToken().pin);
    expect(report.of('ok')).toContainEqual(expect.stringContaining('HSM: token objects: It takes'));
  });

  test.each([
    ['a library that is not there', ['/no/module.so'], "can't be loaded"],
    ['a token that is not there', ['', '--token-label', 'nobody'], 'no token with the label'],
    ['a PIN file that is not there', ['', '--pin-file', '/no/pin'], '--pin-file'],
    ['a PIN that is wrong', ['', '--pin-file', MAIN], 'is wrong (--pin-file)'],
  ])('%s is a fault, told in a sentence', async (_what, [module = '', ...more], sentence) => {
    const path = module === '' ? testToken().module : module;
    const report = await doctor(bare(), ...alone(path, ...more));
    expect(report.of('fault')).toEqual([expect.stringContaining(sentence)]);
    expect(report.status).toBe(2);
  });

  test.each([
    [['--pin-file', '/no/pin'], 'for a module that --module names'],
    [['--module', '/no/module.so', '--mend'], 'give one of them'],
  ])('is what %j is for, or it is refused', async (options, sentence) => {
    const { status, output } = await doctor(bare(), ...options);
    expect([status, output]).toEqual([1, expect.stringContaining(sentence)]);
  });

  test('has to be told which of several tokens is meant', async () => {
    const options = ['--module', testToken().module, '--pin-file', pinFile];
    const report = await doctor(bare(), ...options);
    expect(report.of('fault')).toEqual([expect.stringContaining('several tokens')]);
  });
});

(canBuild ? describe : describe.skip)('a module that behaves as others do', () => {
  test.each([
    ['kwp-only', 0, 0, 0x210b],
    ['cloudhsm', 1, 5, 0x8000_216f],
    // RSA and EC keys aren't released.
    ['device-error', 1, 1, 0x210a],
    ['luna-fips', 1, 1, 0x8000_0171],
    ['yubihsm', 1, 8, undefined],
  ])(
    'behind the profile %s ends with status %i and %i warnings',
    async (profile, status, count, number) => {
      const shim = await buildModuleShim({ profile });
      try {
        const { PKCS11_MODULE: module = '', ...environment } = shim.environment;
        const report = await doctor({ ...bare(), ...environment }, ...alone(module));
        expect(report.status).toBe(status);
        expect(report.of('warning')).toHaveLength(count);
        expect(report.capabilities?.keyWrapPadded?.mechanism.name).toBe(number);
      } finally {
        await shim.remove();
      }
    },
  );

  test('that can not say for a moment what its tokens are, or takes no login, is asked again', async () => {
    const shim = await buildModuleShim({
      profile: 'kwp-only',
      lines: [
        'answer GetTokenInfo CKR_GENERAL_ERROR for 2',
        // CKR_USER_PIN_NOT_INITIALIZED
        'answer Login 0x102 for 1',
      ],
    });
    try {
      const { PKCS11_MODULE: module = '', ...environment } = shim.environment;
      const report = await doctor({ ...bare(), ...environment }, ...alone(module));
      expect(report.of('fault')).toEqual([]);
      expect(report.status).toBe(0);
    } finally {
      await shim.remove();
    }
  });
});

(canBuild ? describe : describe.skip)('a token', () => {
  let token: Token;
  beforeAll(() => {
    token = openToken(testToken());
  });
  afterAll(() => {
    token.close();
  });

  /** What is found with a line of a plan, and how many objects the token has more than before. */
  async function behind(line: string): Promise<{ report: Report; left: number }> {
    const count = () => findObjects(token.loginSession, { token: true }, 10_000).length;
    const shim = await buildModuleShim({ profile: 'kwp-only', lines: [line] });
    try {
      const { PKCS11_MODULE: module = '', ...environment } = shim.environment;
      const before = count();
      const report = await doctor({ ...bare(), ...environment }, ...alone(module));
      return { report, left: count() - before };
    } finally {
      await shim.remove();
    }
  }

  test('that is full is a fault, and no object is left of what it had room for', async () => {
    const full = 'answer GenerateKey CKR_DEVICE_MEMORY if template token=true after 1';
    const { report, left } = await behind(full);
    expect(report.of('fault')).toEqual([
      expect.stringMatching(/token objects: The token does not keep root keys.*CKR_DEVICE_MEMORY/),
    ]);
    expect(report.status).toBe(2);
    expect(left).toBe(0);
  });

  test('of an examination that is killed in the middle has no object left of it', async () => {
    const { report, left } = await behind('crash UnwrapKey after 20');
    expect(report.output).toBe('');
    expect(left).toBe(0);
  });

  test('that opens no session to write is a fault, told in a sentence', async () => {
    const { report } = await behind('answer OpenSession 0xE2'); // CKR_TOKEN_WRITE_PROTECTED
    expect(report.of('fault')).toEqual([
      expect.stringMatching(/can't be opened: .*CKR_TOKEN_WRITE_PROTECTED.*write-protected/),
    ]);
  });
});

describe('a deployment', () => {
  let production: PreparedProduction;
  let settings: Readonly<Record<string, string>>;
  beforeAll(async () => {
    production = await prepareProduction();
    settings = {
      ...production.settings,
      STRONGROOM_DATA_DIR: folder,
      STRONGROOM_LISTEN: '127.0.0.1:0',
      STRONGROOM_METRICS_LISTEN: '',
    };
  });
  afterAll(() => production.remove());

  test('that would serve has no fault, and its root keys are found', async () => {
    const report = await doctor(settings);
    expect(faultsOf(report)).toEqual([]);
    expect(report.of('ok')).toEqual(
      expect.arrayContaining([
        expect.stringContaining('Root keys: root keys: The token holds those of the pool "main"'),
        expect.stringContaining('Root keys: sealed keys: All are wrapped in ways'),
        expect.stringContaining('Database: schema: It is up to date (0'),
        expect.stringContaining('Database: notifications:'),
        expect.stringContaining('Database: rights:'),
      ]),
    );
    const [, password = ''] = /:([^:@/]+)@/.exec(settings['DATABASE_URL'] ?? '') ?? [];
    expect(password).not.toBe('');
    expect(report.output).not.toContain(password);
  });

  test('with a token that lacks the root keys is told so', async () => {
    const { tokenLabel, pin } = testToken();
    const report = await doctor({
      ...settings,
      PKCS11_TOKEN_LABEL: tokenLabel,
      PKCS11_PIN: pin,
    });
    expect(faultsOf(report)).toEqual([
      expect.stringContaining('Root keys: root keys: The token (PKCS11_TOKEN_LABEL) does not hold'),
    ]);
    expect(report.status).toBe(2);
  });

  test('with keys that are wrapped in a way that the module lacks is told how many, by the start too', async () => {
    await withClient(production.database.ownerUrl, (client) =>
      client.query(`update signing_key set blob = '\\x02'::bytea || blob`),
    );
    const counted = /[1-9] key versions? (?:was|were) wrapped by CKM_AES_GCM.*SoftHSM.*\(CKR_/;
    const report = await doctor(settings);
    expect(report.of('warning')).toContainEqual(expect.stringMatching(counted));
    const { place, caFile } = production;
    const service = await startService(
      join(place, 'unused'),
      { ...production.settings, STRONGROOM_WORKERS: '1' },
      { caFile },
    );
    await service.stop();
    expect(service.output()).toMatch(counted);
  });
});

describe('a database', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  const told = async (severity: Severity, url: string) =>
    (await examineDatabase(url))
      .filter((one) => one.severity === severity)
      .map(({ subject, sentence }) => `Database: ${subject}: ${sentence}`);
  const faults = async (url: string) =>
    (await told('fault', url)).filter((line) => !UNSAFE.test(line));

  test('that loses what it has acknowledged is told so, and by what', async () => {
    const lines = await told('fault', database.serviceUrl);
    expect(lines.filter((line) => UNSAFE.test(line))).toHaveLength(2);
    const waits = `${database.serviceUrl}&options=-c%20synchronous_commit%3Don`;
    expect(await told('fault', waits)).toEqual([expect.stringContaining('fsync is off')]);
    expect(await told('warning', waits)).toEqual([
      expect.stringContaining('There is no synchronous standby'),
    ]);
  });

  test("that is the service's own is warned of, since its owner can alter the audit log", async () => {
    expect(await told('warning', database.ownerUrl)).toEqual([
      expect.stringMatching(/rights: .*(?:owns|superuser)/),
    ]);
    expect(await told('ok', database.serviceUrl)).toEqual(
      expect.arrayContaining([expect.stringContaining('who owns none of its tables')]),
    );
  });

  test('that is away is told so', async () => {
    expect(await faults('postgres://nobody@127.0.0.1:1/none')).toEqual([
      expect.stringContaining('Database: connection: '),
    ]);
  });

  test('whose schema is of another version is told to migrate', async () => {
    const client = new pg.Client({ connectionString: database.ownerUrl });
    await client.connect();
    try {
      const { rowCount } = await client.query(
        `delete from schema_migration where name = (select max(name) from schema_migration)`,
      );
      expect(rowCount).toBe(1);
    } finally {
      await client.end();
    }
    expect(await faults(database.serviceUrl)).toEqual([
      expect.stringContaining('Database: schema: The database schema is not up to date'),
    ]);
  });
});

(pgBouncerIsMissing === undefined ? describe : describe.skip)('a pooler', () => {
  test('that keeps sessions is told how many', async () => {
    const database = await createTestDatabase();
    const pooler = await startPgBouncer(database.serviceUrl, 'session');
    const notifications = async (url: string) =>
      (await examineDatabase(url)).find(({ subject }) => subject === 'notifications')?.sentence;
    try {
      const each = LIMITS.databaseConnections + LIMITS.auditConnections + 2;
      expect(await notifications(pooler.url)).toContain(`room for ${each} of each worker process`);
      expect(await notifications(database.serviceUrl)).toContain('no pooler is in the way');
    } finally {
      await pooler.close();
      await database.drop();
    }
  });

  test.each(['transaction', 'statement'] as const)(
    'in %s mode loses notifications, and is told so',
    async (mode) => {
      const database = await createTestDatabase();
      const pooler = await startPgBouncer(database.serviceUrl, mode);
      try {
        const found = await examineDatabase(pooler.url);
        expect(found.filter(({ severity }) => severity === 'fault')).toEqual(
          expect.arrayContaining([expect.objectContaining({ subject: 'notifications' })]),
        );
      } finally {
        await pooler.close();
        await database.drop();
      }
    },
  );
});

test('a port that is taken is warned of', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  try {
    const address = other.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    const { config } = readConfig(
      { STRONGROOM_LISTEN: `127.0.0.1:${port}`, STRONGROOM_METRICS_LISTEN: '' },
      { cores: 2, memoryBytes: 2 ** 32 },
    );
    const found = (await examineMachine(config)).filter(({ subject }) => subject === 'ports');
    expect(found).toEqual([
      {
        severity: 'warning',
        subject: 'ports',
        sentence: expect.stringContaining('STRONGROOM_LISTEN'),
      },
    ]);
  } finally {
    other.close();
  }
});

describe('a certificate', () => {
  const YEAR_MS = 366 * 86_400_000;
  const severities = async (at: (from: Date) => Date) => {
    const { certificate } = await prepareDevelopmentCertificate(folder, {
      domain: 'hsm.example',
    });
    return examineCertificate({ certificate }, 'main.hsm.example', at(new Date()))
      .filter(({ subject }) => subject === 'dates')
      .map(({ severity }) => severity);
  };

  test('that is valid for long is well', async () => {
    expect(new Set(await severities((now) => now))).toEqual(new Set(['ok']));
  });
  test('that has ended is a fault', async () => {
    expect(await severities((now) => new Date(now.getTime() + 20 * YEAR_MS))).toContain('fault');
  });
  test('that is for another name is a fault that names it', async () => {
    const { certificate } = await prepareDevelopmentCertificate(folder, { domain: 'hsm.example' });
    const found = examineCertificate({ certificate }, 'main.elsewhere.example', new Date());
    expect(found.filter(({ severity }) => severity === 'fault')).toEqual([
      {
        severity: 'fault',
        subject: 'names',
        sentence: expect.stringContaining("isn't for main.elsewhere.example"),
      },
    ]);
  });
  test('that is not valid yet is a fault', async () => {
    expect(await severities((now) => new Date(now.getTime() - YEAR_MS))).toContain('fault');
  });
});
