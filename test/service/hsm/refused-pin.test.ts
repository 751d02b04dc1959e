import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createCaller, fetchToken } from '../../support/client.ts';
import { freePort } from '../../support/free-port.ts';
import { makePreparedFolder } from '../../support/prepared-folder.ts';
import { testToken } from '../../support/softhsm.ts';
import { removeDataFolder, type RunningService, startService } from '../../support/service.ts';
import { until } from '../../support/until.ts';
import { workersOf } from '../../support/worker-processes.ts';

const run = promisify(execFile);
/** Longer than a worker process that has ended is waited for: had there been another attempt, it would be seen. */
const NO_MORE_MS = 3_000;
const NEW_PIN = 'another-pin';

/** Sets the user's PIN of the token of a data folder, in a process that reads its configuration. */
async function changePin(folder: string, module: string): Promise<void> {
  const script = `
    import graphene from 'graphene-pk11';
    const [path, pin, next] = process.argv.slice(1);
    const module = graphene.Module.load(path, 'token');
    module.initialize();
    const slots = module.getSlots(true);
    for (let index = 0; index < slots.length; index += 1) {
      const slot = slots.items(index);
      if (!(slot.getToken().flags & graphene.TokenFlag.TOKEN_INITIALIZED)) continue;
      const session = slot.open(graphene.SessionFlag.SERIAL_SESSION | graphene.SessionFlag.RW_SESSION);
      session.login(pin, graphene.UserType.USER);
      session.setPin(pin, next);
    }
    module.finalize();`;
  const pin = (await readFile(join(folder, 'pkcs11-pin'), 'utf8')).trim();
  await run(process.execPath, ['--input-type=module', '-e', script, module, pin, NEW_PIN], {
    env: { PATH: process.env['PATH'], SOFTHSM2_CONF: join(folder, 'softhsm2.conf') },
  });
}

const timesIn = (text: string, words: string) => text.split(words).length - 1;

describe('while the PIN is changed under a service that runs', () => {
  let folder: string;
  let service: RunningService;
  let metricsPort: number;
  beforeAll(async () => {
    folder = await makePreparedFolder();
    metricsPort = await freePort();
    service = await startService(folder, {
      STRONGROOM_METRICS_LISTEN: `127.0.0.1:${String(metricsPort)}`,
    });
    await changePin(folder, testToken().module);
  }, 120_000);
  afterAll(async () => {
    await service.stop();
    await removeDataFolder(folder);
  });

  test('one worker process tries the old PIN, none after it, and those that are logged in serve on', async () => {
    const [victim = 0, ...others] = await workersOf(service);
    process.kill(victim, 'SIGKILL');
    await until(() => service.output().includes('No worker process is started with it any more'));
    await delay(NO_MORE_MS);
    expect(await workersOf(service)).toEqual(others);
    // The victim, and the one that was to take its place.
    expect(timesIn(service.output(), 'worker process ended')).toBe(2);
    const { AZURE_CLIENT_ID: clientId = '', AZURE_CLIENT_SECRET: clientSecret = '' } =
      service.client;
    const call = createCaller(service, await fetchToken(service, { clientId, clientSecret }));
    expect((await call('POST', '/keys/made/create', { kty: 'oct-HSM' })).status).toBe(200);
    call.close();
    const ready = await fetch(`http://127.0.0.1:${String(metricsPort)}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([
      200,
      expect.objectContaining({
        reason: expect.stringMatching(/^The PIN of the token .* is wrong/),
      }),
    ]);
  }, 60_000);

  test('the service ends with a sentence when none is left', async () => {
    const exit = once(service.process, 'exit');
    for (const worker of await workersOf(service)) process.kill(worker, 'SIGKILL');
    expect(await exit).toEqual([1, null]);
    expect(service.output()).toMatch(/strongroom: The PIN of the token [^\n]* is wrong [^\n]*\n$/);
    expect(service.output()).not.toContain(NEW_PIN);
  }, 60_000);
});
