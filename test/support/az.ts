import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCaller } from './client.ts';
import type { RunningService } from './service.ts';
import { makeVirtualEnvironment } from './virtual-environment.ts';

/** A command takes seconds, and more on a busy machine. */
const COMMAND_MS = 240_000;

/** The PATH by which there is an az; or why there is none. */
export function findAz(): { readonly path: string; readonly missing?: string } {
  const path = process.env['PATH'] ?? '';
  if (spawnSync('az', ['version'], { timeout: 120_000 }).status === 0) return { path };
  const requirements = fileURLToPath(new URL('../clients/az-requirements.txt', import.meta.url));
  const made = makeVirtualEnvironment('az', requirements);
  const extended = [made.bin, path].join(delimiter);
  return { path: extended, ...(made.missing !== undefined && { missing: made.missing }) };
}

/** An az with a folder of its own, and a service as its cloud. */
export interface Az {
  readonly home: string;
  /** @returns what it printed @throws Error with what it said */
  readonly run: (command: string, args: readonly string[]) => string;
  /** What `az` prints as JSON; throws what it says where it fails. */
  readonly az: <Shape = unknown>(...args: readonly string[]) => Shape;
  readonly close: () => Promise<void>;
}

export async function openAz(service: RunningService, path: string): Promise<Az> {
  const home = await mkdtemp(join(tmpdir(), 'strongroom-az-'));
  const run: Az['run'] = (command, args) => {
    const { status, stdout, stderr } = spawnSync(command, args, {
      cwd: home,
      encoding: 'utf8',
      env: {
        PATH: path,
        HOME: home,
        AZURE_CONFIG_DIR: home,
        REQUESTS_CA_BUNDLE: join(service.dataFolder, 'ca.pem'),
        AZURE_CORE_COLLECT_TELEMETRY: 'false',
        ...service.client,
      },
      timeout: COMMAND_MS,
    });
    if (status !== 0) throw new Error(`${command} ${args.slice(0, 3).join(' ')}: ${stderr}`);
    return stdout;
  };
  return {
    home,
    run,
    az: <Shape>(...args: readonly string[]) => {
      const stdout = run('az', [...args, '--output', 'json', '--only-show-errors']);
      return (stdout.trim() === '' ? undefined : JSON.parse(stdout)) as Shape;
    },
    close: () => rm(home, { recursive: true, force: true }),
  };
}

/** What the recipe of src/identity/README.md does, without what it makes. */
export async function signInToAz({ az }: Az, service: RunningService): Promise<void> {
  const { AZURE_CLIENT_ID: id = '', AZURE_CLIENT_SECRET: secret = '' } = service.client;
  const call = createCaller(service);
  const { authentication } = (await call('GET', '/metadata/endpoints')).json<{
    authentication: { tenant: string };
  }>();
  call.close();
  az('config', 'set', 'core.instance_discovery=false');
  const cloud = ['--name', 'strongroom'];
  az('cloud', 'register', ...cloud, '--endpoint-resource-manager', service.localUrl);
  az('cloud', 'set', ...cloud);
  const credentials = ['--username', id, '--password', secret, '--tenant', authentication.tenant];
  az('login', '--service-principal', '--allow-no-subscriptions', ...credentials);
}
