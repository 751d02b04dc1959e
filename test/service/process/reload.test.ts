import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { initialiseToken, writeConfiguration } from '../../../src/setup/softhsm/token.ts';
import { type Caller, createCaller, fetchToken } from '../../support/client.ts';
import { buildModuleShim, hasCompiler, type ModuleShim } from '../../support/module-shim.ts';
import { bootstrap, type PreparedProduction } from '../../support/production.ts';
import { startRawModule } from '../../support/raw-module.ts';
import { ROLE } from '../../support/roles.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../../support/service.ts';
import { productionToken } from '../../support/softhsm.ts';
import { until } from '../../support/until.ts';
import { workersOf } from '../../support/worker-processes.ts';

const VALUE = Buffer.alloc(32, 7).toString('base64url');
const CKU_USER = 1;
const SESSION_FLAGS = 6;
const LABEL = 'reloaded';
/** Of each of eight callers: there is always a call under way, and time for the processes to be replaced. */
const PAUSE_MS = 10;

const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

let folder: string;
/** What the service takes for its module: a link to one. */
let library: string;
let shim: ModuleShim | undefined;
let pinFile: string;
let environment: Record<string, string>;
let prepared: PreparedProduction;
let service: RunningService;
let admin: Caller & { close(): void };

beforeAll(async () => {
  folder = await makeDataFolder();
  pinFile = join(folder, 'pin');
  const { module } = productionToken();
  const configFile = join(folder, 'softhsm2.conf');
  await mkdir(join(folder, 'tokens'));
  await writeConfiguration(configFile, join(folder, 'tokens'));
  await initialiseToken({ module, tokenLabel: LABEL, pin: 'before', configFile });
  await writeFile(pinFile, 'before\n');
  library = join(folder, 'module.so');
  await symlink(module, library);
  shim = canBuild ? await buildModuleShim({ profile: 'kwp-only' }) : undefined;
  environment = {
    ...shim?.environment,
    SOFTHSM2_CONF: configFile,
    PKCS11_MODULE: library,
    PKCS11_TOKEN_LABEL: LABEL,
    PKCS11_PIN: '',
    PKCS11_PIN_FILE: pinFile,
    STRONGROOM_WORKERS: '2',
  };
  prepared = await bootstrap(environment);
  const { place, settings, caFile, credentials } = prepared;
  service = await startService(join(place, 'unused'), settings, { caFile });
  const audience = `https://${settings['STRONGROOM_DOMAIN'] ?? ''}`;
  admin = createCaller(service, await fetchToken(service, credentials, audience));
  for (const role of [ROLE.officer, ROLE.user])
    await admin('PUT', `/providers/Microsoft.Authorization/roleAssignments/${role}`, {
      properties: { roleDefinitionId: role, principalId: credentials.principalId },
    });
  expect((await admin('POST', '/keys/used/create', { kty: 'oct-HSM' })).status).toBe(200);
}, 120_000);

afterAll(async () => {
  admin.close();
  await service.stop();
  await prepared.remove();
  await shim?.remove();
  await removeDataFolder(folder);
});

async function changePin(from: string, to: string): Promise<void> {
  const module = await startRawModule({
    SOFTHSM2_CONF: environment['SOFTHSM2_CONF'] ?? '',
    PKCS11_MODULE: environment['PKCS11_MODULE'] ?? '',
  });
  try {
    await module.call('C_Initialize', { flags: 2 });
    const { result: slots } = await module.call<Buffer[]>('C_GetSlotList', true);
    const { result: session } = await module.call<Buffer>('C_OpenSession', slots[0], SESSION_FLAGS);
    await module.call('C_Login', session, CKU_USER, from);
    await module.call('C_SetPIN', session, from, to);
  } finally {
    await module.end();
  }
}

const count = (words: string) => service.output().split(words).length - 1;

/** Statuses of callers that go on while `work` is done. */
async function callersDuring(work: () => Promise<void>): Promise<readonly number[]> {
  const seen = new Map<number, number>();
  const state = { isOver: false };
  const calls = Array.from({ length: 8 }, async () => {
    while (!state.isOver) {
      const { status } = await admin('POST', '/keys/used/wrapkey', { alg: 'A256KW', value: VALUE });
      seen.set(status, (seen.get(status) ?? 0) + 1);
      await delay(PAUSE_MS);
    }
  });
  await work().finally(() => (state.isOver = true));
  await Promise.all(calls);
  expect(seen.get(200)).toBeGreaterThan(100);
  return [...seen.keys()];
}

test('a PIN that was changed is taken over at SIGHUP, and no request is lost', async () => {
  const statuses = await callersDuring(async () => {
    await changePin('before', 'after');
    await writeFile(pinFile, 'after\n');
    service.process.kill('SIGHUP');
    await until(() => count('go by the files as they are now') === 1);
  });
  expect(statuses).toEqual([200]);
}, 120_000);

test('a wrong PIN at SIGHUP is told in the log, and those that were there serve on', async () => {
  const statuses = await callersDuring(async () => {
    await writeFile(pinFile, 'wrong\n');
    service.process.kill('SIGHUP');
    await until(() => count('SIGHUP: nothing is changed') === 1);
  });
  expect(statuses).toEqual([200]);
  await writeFile(pinFile, 'after\n');
  service.process.kill('SIGHUP');
  await until(() => count('go by the files as they are now') === 2);
}, 120_000);

(canBuild ? describe : describe.skip)('a module that was replaced', () => {
  const replaceBy = async (file: string) => {
    await symlink(file, `${library}.new`);
    await rename(`${library}.new`, library);
    service.process.kill('SIGHUP');
  };
  const moduleOfPool = async () =>
    (await admin('GET', '/capabilities')).json<{ module: string }>().module;

  test('is loaded at SIGHUP, opens the keys of the one before, and no request is lost', async () => {
    expect(await moduleOfPool()).toContain('SoftHSM');
    const statuses = await callersDuring(async () => {
      await replaceBy(shim?.environment['PKCS11_MODULE'] ?? '');
      await until(() => count('go by the files as they are now') === 3);
    });
    expect(statuses).toEqual([200]);
    await until(async () => (await moduleOfPool()).includes('Shim: kwp-only'));
  }, 120_000);

  test('by what is no module is told in the log, and the one before serves on', async () => {
    const statuses = await callersDuring(async () => {
      await replaceBy(pinFile);
      await until(() => count('SIGHUP: nothing is changed') === 2);
    });
    expect(statuses).toEqual([200]);
    expect(await moduleOfPool()).toContain('Shim: kwp-only');
    await replaceBy(shim?.environment['PKCS11_MODULE'] ?? '');
    await until(() => count('go by the files as they are now') === 4);
  }, 120_000);
});

test('an empty file at SIGHUP is told in the log', async () => {
  await writeFile(pinFile, '');
  service.process.kill('SIGHUP');
  await until(() => count(`${pinFile} is empty`) > 0);
  expect((await admin('GET', '/keys/used')).status).toBe(200);
}, 60_000);

test('SIGTERM while workers are replaced ends those that have only just begun, too', async () => {
  await writeFile(pinFile, 'after\n');
  const before = await workersOf(service);
  service.process.kill('SIGHUP');
  await until(async () => (await workersOf(service)).some((pid) => !before.includes(pid)));
  const began = performance.now();
  expect(await service.stop()).toBe(0);
  expect(performance.now() - began).toBeLessThan(15_000);
});
