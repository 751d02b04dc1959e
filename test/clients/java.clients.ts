import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { replaceCertificate } from '../support/client-certificates.ts';
import { assignRole, created, makeClient, signInAdministrator } from '../support/directory.ts';
import { ensureResolves } from '../support/hosts-file.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';
import { ROLE } from '../support/roles.ts';

/** Microsoft's libraries for Java against the service, as pom.xml pins them; a machine without Maven skips with the reason. */

const HERE = fileURLToPath(new URL('java', import.meta.url));
const BUILT = fileURLToPath(new URL('../../node_modules/.cache/java-client', import.meta.url));
const CLASSES = [join(BUILT, 'classes'), join(BUILT, 'dependency', '*')].join(':');
const BUILD_LIMIT_MS = 600_000;
/** Of a store that holds nothing secret; Java wants one. */
const STORE_PASSWORD = 'changeit';

function run(
  command: string,
  args: readonly string[],
  timeout: number,
  environment: Readonly<Record<string, string>> = {},
) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: HERE,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
    timeout,
  });
  return { status, stdout, stderr: error?.message ?? stderr };
}

/** Why there is no program; undefined where there is one. */
async function prepare(): Promise<string | undefined> {
  const built = run('mvn', ['--quiet', '--batch-mode', 'process-classes'], BUILD_LIMIT_MS);
  // Maven says what is wrong on its standard output.
  if (built.status !== 0) return `mvn: ${(built.stderr || built.stdout).trim()}`;
  return (await ensureResolves('main.strongroom.localhost'))
    ? undefined
    : 'main.strongroom.localhost does not resolve';
}

const missing = await prepare();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

let service: RunningService;
/** What the JVM trusts: the service's CA alone. */
let trustStore: string;
let admin: Awaited<ReturnType<typeof signInAdministrator>>;
beforeAll(async () => {
  if (missing !== undefined) return;
  service = await startService(await makeDataFolder());
  admin = await signInAdministrator(service);
  trustStore = join(service.dataFolder, 'trust.p12');
  const store = ['-keystore', trustStore, '-storetype', 'PKCS12', '-storepass', STORE_PASSWORD];
  const ca = ['-alias', 'strongroom', '-file', join(service.dataFolder, 'ca.pem')];
  const imported = run('keytool', ['-importcert', '-noprompt', ...ca, ...store], 60_000);
  expect([imported.status, imported.stderr]).toEqual([0, expect.stringContaining('added')]);
}, 180_000);
afterAll(async () => {
  if (missing !== undefined) return;
  admin.close();
  await service.stop();
  await removeDataFolder(service.dataFolder);
});

function expectToWork(name: string, environment: Readonly<Record<string, string>> = {}): void {
  const trust = [
    `-Djavax.net.ssl.trustStore=${trustStore}`,
    '-Djavax.net.ssl.trustStoreType=PKCS12',
    `-Djavax.net.ssl.trustStorePassword=${STORE_PASSWORD}`,
  ];
  const program = ['-classpath', CLASSES, 'Main', service.url, name];
  const { status, stdout, stderr } = run('java', [...trust, ...program], 120_000, {
    ...service.client,
    ...environment,
  });
  // On its standard error a library says that nobody has set a logger up.
  expect([status, status === 0 ? '' : stderr]).toEqual([0, '']);
  expect(stdout.trim().split('\n')).toEqual([
    ...['created RSA-HSM', 'created oct-HSM', 'created EC-HSM'],
    'wrapped and unwrapped by RSA-OAEP',
    ...['wrapped and unwrapped by RSA-OAEP-256', 'wrapped and unwrapped by A256KW'],
    ...['signed and verified by ES256', 'signed and verified by PS256'],
    'read and listed',
  ]);
}

/** How often the service did each of them with a key, by its own records; refusals fail. */
async function operationsWith(keyName: string): Promise<Readonly<Record<string, number>>> {
  const query = new URLSearchParams({ keyName, maxresults: '1000' }).toString();
  const { value } = await created<{ value: { operation: string; outcome: string }[] }>(
    admin('GET', `/audit/events?${query}`),
  );
  expect(value.filter(({ outcome }) => outcome !== 'success')).toEqual([]);
  const count: Record<string, number> = {};
  for (const { operation } of value) count[operation] = (count[operation] ?? 0) + 1;
  return count;
}

(missing === undefined ? describe : describe.skip)('with Java,', () => {
  test('a client secret signs in, and keys are created, wrap and sign', () => {
    expectToWork('by-secret');
  }, 150_000);

  test('the service did what the library says, but for what it does by itself with public halves', async () => {
    // Of two wrappings by RSA-OAEP and three verifications by ES256, the library does one by itself.
    expect(await operationsWith('by-secret-rsa')).toMatchObject({
      ...{ KeyCreate: 1, KeyWrap: 3, KeyUnwrap: 4 },
      ...{ KeySign: 1, KeyVerify: 3 },
    });
    expect(await operationsWith('by-secret-oct')).toMatchObject({
      ...{ KeyCreate: 1, KeyWrap: 2, KeyUnwrap: 2 },
    });
    expect(await operationsWith('by-secret-ec')).toMatchObject({
      ...{ KeyCreate: 1, KeySign: 1, KeyVerify: 2 },
    });
  }, 60_000);

  test('a certificate signs in, and keys are created, wrap and sign', async () => {
    const client = await makeClient(admin, 'java');
    await assignRole(admin, ROLE.user, client.principalId);
    const { certificate, privateKey } = await replaceCertificate(admin, client);
    const file = join(service.dataFolder, 'client.pem');
    await writeFile(file, privateKey + certificate);
    expectToWork('by-certificate', { AZURE_CLIENT_ID: client.appId, CERTIFICATE_FILE: file });
  }, 150_000);
});
