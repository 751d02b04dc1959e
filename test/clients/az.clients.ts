import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createCaller } from '../support/client.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';

/** The `az` command, where the machine has one (`pip install azure-cli`), with this service as its cloud. */

const missing = spawnSync('az', ['version'], { timeout: 60_000 }).status !== 0;
if (missing) console.warn('skipped: there is no az command');

let service: RunningService;
let configuration: string;
beforeAll(async () => {
  if (missing) return;
  configuration = await mkdtemp(join(tmpdir(), 'strongroom-az-'));
  service = await startService(await makeDataFolder());
  const base = service.localUrl;
  az('config', 'set', 'core.instance_discovery=false', 'core.collect_telemetry=false');
  az('cloud', 'register', '--name', 'strongroom', '--endpoint-resource-manager', base);
  az('cloud', 'set', '--name', 'strongroom');
}, 180_000);
afterAll(async () => {
  if (missing) return;
  await service.stop();
  await removeDataFolder(service.dataFolder);
  await rm(configuration, { recursive: true, force: true });
});

/** What it prints as JSON; fails with what it says where it does. */
function az<Shape = unknown>(...args: readonly string[]): Shape {
  const { status, stdout, stderr } = spawnSync('az', [...args, '--output', 'json'], {
    encoding: 'utf8',
    env: {
      PATH: process.env['PATH'],
      HOME: configuration,
      AZURE_CONFIG_DIR: configuration,
      REQUESTS_CA_BUNDLE: join(service.dataFolder, 'ca.pem'),
    },
    timeout: 120_000,
  });
  if (status !== 0) throw new Error(`az ${args[0] ?? ''} ${args[1] ?? ''}: ${stderr}`);
  return (stdout.trim() === '' ? undefined : JSON.parse(stdout)) as Shape;
}

(missing ? describe.skip : describe)('az', () => {
  test('signs in, makes a service principal, gives it a role at a key, and uses keys', async () => {
    const { AZURE_CLIENT_ID: clientId = '', AZURE_CLIENT_SECRET: secret = '' } = service.client;
    const metadata = az<{ endpoints: { activeDirectory: string } }>('cloud', 'show');
    expect(metadata.endpoints.activeDirectory).toBe(`${service.localUrl}/adfs`);
    const tenant = await findTenant();
    const credentials = ['--username', clientId, '--password', secret, '--tenant', tenant];
    az('login', '--service-principal', '--allow-no-subscriptions', ...credentials);

    const made = az<{ appId: string }>('ad', 'sp', 'create-for-rbac', '--name', 'billing');
    expect(az('ad', 'sp', 'show', '--id', made.appId)).toMatchObject({ displayName: 'billing' });

    const id = `${service.localUrl}/keys/orders`;
    az('keyvault', 'key', 'create', '--id', id, '--kty', 'RSA-HSM', '--size', '2048');
    const role = ['--role', 'Managed HSM Crypto User', '--scope', '/keys/orders'];
    const at = ['--id', service.localUrl];
    az('keyvault', 'role', 'assignment', 'create', ...at, ...role, '--assignee', made.appId);
    const assignments = az<{ scope: string; roleName: string }[]>(
      'keyvault',
      'role',
      'assignment',
      'list',
      ...at,
      '--scope',
      '/keys/orders',
    );
    expect(assignments).toContainEqual(
      expect.objectContaining({ roleName: 'Managed HSM Crypto User', scope: '/keys/orders' }),
    );

    const value = Buffer.from('az').toString('base64');
    const algorithm = ['--algorithm', 'RSA-OAEP-256'];
    const { result } = az<{ result: string }>(
      'keyvault', 'key', 'encrypt', '--id', id, ...algorithm, '--value', value,
    ); // prettier-ignore
    expect(
      az('keyvault', 'key', 'decrypt', '--id', id, ...algorithm, '--value', result),
    ).toMatchObject({ result: value });
  }, 600_000);
});

async function findTenant(): Promise<string> {
  const call = createCaller(service);
  const answer = await call('GET', '/metadata/endpoints');
  call.close();
  return answer.json<{ authentication: { tenant: string } }>().authentication.tenant;
}
