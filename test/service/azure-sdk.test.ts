import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ensureResolves } from '../support/hosts-file.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';

const TOUR = fileURLToPath(new URL('../clients/tour.mjs', import.meta.url));
const run = promisify(execFile);

let service: RunningService;
beforeAll(async () => {
  service = await startService(await makeDataFolder());
});
afterAll(async () => {
  await service.stop();
  await removeDataFolder(service.dataFolder);
});

/** The tour as its reader takes it: in a process of its own, with nothing but client.env. */
async function takeTour(url: string): Promise<string> {
  const { stdout } = await run(process.execPath, [TOUR, url], {
    env: { PATH: process.env['PATH'], ...service.client },
    timeout: 60_000,
  });
  return stdout;
}

const PROMISES = [
  /created RSA-HSM https:\/\//,
  /created EC-HSM https:\/\//,
  /created oct-HSM https:\/\//,
  /RSA-OAEP-256: wrapped to 256 bytes, unwrapped the same/,
  /A256KW: wrapped to 40 bytes, unwrapped the same/,
  /A256GCM with AAD: 8 bytes, decrypted the same/,
  /ES256: 64 bytes, verified true/,
  /PS256: 256 bytes, verified true/,
  /listed tour-rsa-/,
  /version [0-9a-f]{32}/,
  /deleted, to be purged on \d{4}-/,
];

describe('the unmodified Azure libraries for JavaScript', () => {
  test('use keys of every type through localhost, with the resource check switched off', async () => {
    const output = await takeTour(service.localUrl);
    for (const promise of PROMISES) expect(output).toMatch(promise);
  });

  test("use keys of every type through the pool's own name, with no option at all", async () => {
    const { hostname } = new URL(service.url);
    if (!(await ensureResolves(hostname))) {
      console.warn(
        `skipped: ${hostname} does not resolve here and the hosts file can't be written`,
      );
      return;
    }
    const output = await takeTour(service.url);
    for (const promise of PROMISES) expect(output).toMatch(promise);
  });
});
