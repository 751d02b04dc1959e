import { describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ensureResolves } from '../../support/hosts-file.ts';
import { useSharedService } from '../../support/use-service.ts';

// The service's ready message asks people for the same line; writing it takes a user who may.
const isNamed = await ensureResolves('main.strongroom.localhost');
if (!isNamed) console.warn('skipped: main.strongroom.localhost does not resolve on this machine');
const describeNamed = isNamed ? describe : describe.skip;

const TOUR = fileURLToPath(new URL('../../clients/tour.mjs', import.meta.url));
const run = promisify(execFile);

const { service } = useSharedService();

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
  /A256GCM with AAD: 32 bytes, decrypted the same/,
  /ES256: 64 bytes, verified true/,
  /PS256: 256 bytes, verified true/,
  /listed tour-rsa-/,
  /version [0-9a-f]{32}/,
  /deleted tour-rsa-/,
];

describe('the unmodified Azure libraries for JavaScript', () => {
  test('use keys of every type through localhost, with the resource check switched off', async () => {
    const output = await takeTour(service.localUrl);
    for (const promise of PROMISES) expect(output).toMatch(promise);
  });
});

describe('the tour', () => {
  test.each([
    ['the URL of client.env', [], { AZURE_MANAGEDHSM_URL: 'https://main.strongroom.invalid:8443' }],
    ['a URL that it is given', ['https://main.strongroom.invalid:8443'], {}],
  ])(
    'where %s does not resolve, says both ways out in one line and fails',
    async (_which, args, env) => {
      const tour = run(process.execPath, [TOUR, ...args], {
        env: { PATH: process.env['PATH'], ...service.client, ...env },
      });
      await expect(tour).rejects.toMatchObject({
        code: 1,
        stdout: '',
        stderr:
          'main.strongroom.invalid does not resolve on this machine: add the line "127.0.0.1 main.strongroom.invalid" to /etc/hosts, or run node test/clients/tour.mjs https://localhost:8443\n',
      });
    },
  );

  test('without a URL says where it comes from', async () => {
    const tour = run(process.execPath, [TOUR], { env: { PATH: process.env['PATH'] } });
    await expect(tour).rejects.toMatchObject({
      code: 1,
      stderr: 'AZURE_MANAGEDHSM_URL is missing: first set -a; . .strongroom/client.env\n',
    });
  });
});

describeNamed('the same libraries, as their owner finds them', () => {
  test("use keys of every type through the pool's own name, with no option at all", async () => {
    const output = await takeTour(service.url);
    for (const promise of PROMISES) expect(output).toMatch(promise);
  });
});
