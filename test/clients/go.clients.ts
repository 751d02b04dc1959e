import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { replaceCertificate } from '../support/client-certificates.ts';
import { assignRole, makeClient, signInAdministrator } from '../support/directory.ts';
import { ensureResolves } from '../support/hosts-file.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';
import { ROLE } from '../support/roles.ts';

/** Microsoft's libraries for Go against the service, as go.mod pins them; a machine without Go skips with the reason. */

const HERE = fileURLToPath(new URL('go', import.meta.url));
const PROGRAM = fileURLToPath(new URL('../../node_modules/.cache/go-client', import.meta.url));
const BUILD_LIMIT_MS = 300_000;

/** Why there is no program; undefined where there is one. */
async function prepare(): Promise<string | undefined> {
  const { status, stderr, error } = spawnSync('go', ['build', '-o', PROGRAM, '.'], {
    cwd: HERE,
    encoding: 'utf8',
    timeout: BUILD_LIMIT_MS,
  });
  if (status !== 0) return `go build: ${error?.message ?? stderr.trim()}`;
  return (await ensureResolves('main.strongroom.localhost'))
    ? undefined
    : 'main.strongroom.localhost does not resolve';
}

const missing = await prepare();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

let service: RunningService;
beforeAll(async () => {
  if (missing === undefined) service = await startService(await makeDataFolder());
}, 90_000);
afterAll(async () => {
  if (missing !== undefined) return;
  await service.stop();
  await removeDataFolder(service.dataFolder);
});

function expectToWork(name: string, environment: Readonly<Record<string, string>> = {}): void {
  const { status, stdout, stderr } = spawnSync(PROGRAM, [service.url, name], {
    encoding: 'utf8',
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      ...service.client,
      ...environment,
    },
    timeout: 60_000,
  });
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout.trim().split('\n')).toEqual([
    ...['created RSA-HSM', 'created oct-HSM', 'created EC-HSM'],
    ...['wrapped and unwrapped by RSA-OAEP-256', 'wrapped and unwrapped by A256KW'],
    'signed and verified by ES256',
  ]);
}

(missing === undefined ? describe : describe.skip)('with Go, without an option,', () => {
  test('a client secret signs in, and keys are created, wrap and sign', () => {
    expectToWork('by-secret');
  }, 90_000);

  test('a certificate signs in, and keys are created, wrap and sign', async () => {
    const admin = await signInAdministrator(service);
    const client = await makeClient(admin, 'go');
    await assignRole(admin, ROLE.user, client.principalId);
    const { certificate, privateKey } = await replaceCertificate(admin, client);
    admin.close();
    const file = join(service.dataFolder, 'client.pem');
    await writeFile(file, privateKey + certificate);
    expectToWork('by-certificate', { AZURE_CLIENT_ID: client.appId, CERTIFICATE_FILE: file });
  }, 90_000);
});
