import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';

/**
 * Microsoft's libraries for Python against the service: `npm run test:clients`. The libraries are installed into a virtual
 * environment below node_modules, as requirements.txt pins them; a machine that can't have one skips with the reason.
 */

const HERE = fileURLToPath(new URL('.', import.meta.url));
const ENVIRONMENT = fileURLToPath(new URL('../../node_modules/.cache/python', import.meta.url));
const PYTHON = join(ENVIRONMENT, 'bin', 'python');
const INSTALL_LIMIT_MS = 300_000;

/** Why there is no Python with the libraries; undefined where there is one. */
function prepare(): string | undefined {
  const steps = [
    ...(existsSync(PYTHON) ? [] : [['python3', '-m', 'venv', ENVIRONMENT]]),
    [PYTHON, '-m', 'pip', 'install', '--quiet', '-r', join(HERE, 'requirements.txt')],
  ];
  for (const [command = '', ...args] of steps) {
    const { status, stderr, error } = spawnSync(command, args, {
      encoding: 'utf8',
      timeout: INSTALL_LIMIT_MS,
    });
    if (status !== 0)
      return `${command} ${args.join(' ')}: ${error?.message ?? stderr.trim().split('\n').at(-1) ?? ''}`;
  }
  return undefined;
}

const missing = prepare();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

let folder: string;
let service: RunningService;
beforeAll(async () => {
  if (missing !== undefined) return;
  folder = await makeDataFolder();
  service = await startService(folder);
}, 90_000);
afterAll(async () => {
  if (missing !== undefined) return;
  await service.stop();
  await removeDataFolder(folder);
});

(missing === undefined ? describe : describe.skip)('with Python', () => {
  test.each(['keys.py', 'access.py'])(
    '%s does what it says',
    (script) => {
      const { status, stdout, stderr } = spawnSync(PYTHON, [join(HERE, script), service.localUrl], {
        encoding: 'utf8',
        env: { PATH: process.env['PATH'], ...service.client },
        timeout: 120_000,
      });
      console.info(stdout);
      expect([status, stderr.split('\n').slice(-5)]).toEqual([0, expect.anything()]);
    },
    150_000,
  );
});
