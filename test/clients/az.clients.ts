import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Az, findAz, openAz } from '../support/az.ts';
import { makeClientCertificate } from '../support/client-certificates.ts';
import type { Caller } from '../support/client.ts';
import { makeClient, signInAdministrator } from '../support/directory.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';

/**
 * The `az` command with this service as its cloud: the machine's own, else one in a virtual environment below node_modules
 * as az-requirements.txt pins it; a machine that can have neither skips with the reason.
 */

const { path, missing } = findAz();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

const TEST_MS = 1_800_000;

let service: RunningService;
/** az's own folder, and where the recipe's commands run. */
let home: string;
let run: Az['run'];
let az: Az['az'];
let closeAz: Az['close'];
let admin: Caller & { close(): void };
beforeAll(async () => {
  if (missing !== undefined) return;
  service = await startService(await makeDataFolder());
  ({ home, run, az, close: closeAz } = await openAz(service, path));
  await symlink(service.dataFolder, join(home, '.strongroom'));
  admin = await signInAdministrator(service);
  run('bash', ['-euo', 'pipefail', '-c', await readRecipe()]);
}, TEST_MS);
afterAll(async () => {
  if (missing !== undefined) return;
  admin.close();
  await service.stop();
  await removeDataFolder(service.dataFolder);
  await closeAz();
});

/** The commands that the page about callers gives for az, as they stand there but for the port. */
async function readRecipe(): Promise<string> {
  const page = await readFile(new URL('../../src/identity/README.md', import.meta.url), 'utf8');
  const block = /## az\n+```sh\n(?<commands>[^`]*)```/.exec(page)?.groups?.['commands'] ?? '';
  expect(block).toContain('az keyvault role assignment create');
  return block.replaceAll(':8443', `:${service.port}`);
}

const principalOf = (appId: string) => az<{ id: string }>('ad', 'sp', 'show', '--id', appId).id;
const certificatesOf = (appId: string) =>
  az<{ keyId: string }[]>('ad', 'app', 'credential', 'list', '--id', appId, '--cert');

(missing === undefined ? describe : describe.skip)('az', () => {
  test(
    "does what its recipe says: the service that it made holds its role, and az's keys work",
    () => {
      const [billing] = az<{ id: string; appId: string }[]>(
        ...['ad', 'sp', 'list', '--display-name', 'billing'],
      );
      const at = ['--id', service.localUrl, '--scope', '/keys/orders'];
      const assignments = az<object[]>('keyvault', 'role', 'assignment', 'list', ...at);
      expect(assignments).toContainEqual(
        expect.objectContaining({
          roleName: 'Managed HSM Crypto User',
          scope: '/keys/orders',
          principalId: billing?.id,
          principalName: 'billing',
        }),
      );
      const id = `${service.localUrl}/keys/orders`;
      const value = Buffer.from('az').toString('base64');
      const algorithm = ['--algorithm', 'RSA-OAEP-256'];
      const { result } = az<{ result: string }>(
        ...['keyvault', 'key', 'encrypt', '--id', id, ...algorithm, '--value', value],
      );
      expect(
        az('keyvault', 'key', 'decrypt', '--id', id, ...algorithm, '--value', result),
      ).toMatchObject({ result: value });
    },
    TEST_MS,
  );

  test(
    "gives no role to an application's appId, and takes one away by it",
    async () => {
      const client = await makeClient(admin, 'assigned');
      const at = ['--id', service.localUrl, '--scope', '/keys/orders'];
      const role = ['--role', 'Managed HSM Crypto User'];
      const make = ['keyvault', 'role', 'assignment', 'create', ...at, ...role];
      expect(() => az(...make, '--assignee', client.appId)).toThrow(client.principalId);
      az(...make, '--assignee', client.principalId);
      const list = ['keyvault', 'role', 'assignment', 'list', ...at, '--assignee', client.appId];
      expect(az(...list)).toHaveLength(1);
      az('keyvault', 'role', 'assignment', 'delete', ...at, '--assignee', client.appId);
      expect(az(...list)).toEqual([]);
    },
    TEST_MS,
  );

  test(
    'makes a service principal with a certificate, and signs in with it',
    () => {
      const made = az<{ appId: string; fileWithCertAndPrivateKey: string }>(
        ...['ad', 'sp', 'create-for-rbac', '--name', 'certified', '--create-cert'],
      );
      expect(certificatesOf(made.appId)).toHaveLength(1);
      expect(principalOf(made.appId)).toMatch(/^[0-9a-f-]{36}$/);
      // In a folder of its own, or it would go on as this one from then on.
      const other = join(home, 'other');
      const login = [
        'login',
        '--service-principal',
        '--allow-no-subscriptions',
        '--tenant',
        'adfs',
      ];
      const as = ['--username', made.appId, '--certificate', made.fileWithCertAndPrivateKey];
      const script = `mkdir ${other} && cp clouds.config config ${other} &&
        AZURE_CONFIG_DIR=${other} az ${[...login, ...as].join(' ')} --output json`;
      expect(JSON.parse(run('bash', ['-euc', script]))).toMatchObject([
        { tenantId: 'adfs', user: { name: made.appId, type: 'servicePrincipal' } },
      ]);
    },
    TEST_MS,
  );

  test(
    "makes an application's certificate anew, takes one from a file, and renames the application",
    async () => {
      const { appId } = await makeClient(admin, 'before');
      const reset = ['ad', 'app', 'credential', 'reset', '--id', appId];
      az(...reset, '--create-cert');
      const [first] = certificatesOf(appId);
      const file = join(home, 'own.pem');
      await writeFile(file, (await makeClientCertificate()).certificate);
      az(...reset, '--cert', `@${file}`);
      const [second, ...more] = certificatesOf(appId);
      expect([second?.keyId === first?.keyId, more]).toEqual([false, []]);
      az(...reset, '--create-cert', '--append');
      expect(certificatesOf(appId).map(({ keyId }) => keyId)).toEqual(
        expect.arrayContaining([second?.keyId]),
      );
      az('ad', 'app', 'update', '--id', appId, '--display-name', 'after');
      expect(az('ad', 'app', 'show', '--id', appId)).toMatchObject({ displayName: 'after' });
      expect(certificatesOf(appId)).toHaveLength(2);
    },
    TEST_MS,
  );

  test(
    'makes a group, and says who is in it',
    async () => {
      const { principalId } = await makeClient(admin, 'member');
      const names = ['--display-name', 'operators', '--mail-nickname', 'ops'];
      const group = az<{ id: string }>('ad', 'group', 'create', ...names);
      expect(group).toMatchObject({ displayName: 'operators', mailNickname: 'ops' });
      // Again: it finds the one that is there.
      expect(az('ad', 'group', 'create', ...names)).toMatchObject({ id: group.id });
      const member = (verb: string) =>
        az('ad', 'group', 'member', verb, '--group', group.id, '--member-id', principalId);
      expect(member('check')).toEqual({ value: false });
      member('add');
      expect(member('check')).toEqual({ value: true });
      expect(az('ad', 'group', 'member', 'list', '--group', group.id)).toMatchObject([
        { id: principalId },
      ]);
      member('remove');
      expect(member('check')).toEqual({ value: false });
      expect(az('ad', 'group', 'get-member-groups', '--group', group.id)).toEqual([]);
    },
    TEST_MS,
  );

  test(
    'knows a suffix for the storage account of a backup, and asks for it',
    () => {
      const storage = ['--storage-account-name', 'backups', '--blob-container-name', 'hsm'];
      const start = ['keyvault', 'backup', 'start', '--id', service.localUrl, ...storage];
      expect(() => az(...start, '--storage-container-SAS-token', 'sv=1')).not.toThrow(/suffix/);
    },
    TEST_MS,
  );
});
