import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { type ProductionService, startProduction } from '../../support/production.ts';
import { buildModuleShim, hasCompiler, type ModuleShim } from '../../support/module-shim.ts';

const VALUE = Buffer.alloc(32, 7).toString('base64url');

const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

(canBuild ? describe : describe.skip)('with a module that one thread may call', () => {
  let hsm: ModuleShim;
  let production: ProductionService;

  beforeAll(async () => {
    hsm = await buildModuleShim({ profile: 'no-locking', parallel: 8 });
    production = await startProduction({ ...hsm.environment, STRONGROOM_WORKERS: '1' });
    for (const [name, body] of [
      ['used', { kty: 'oct-HSM' }],
      ['made', { kty: 'RSA-HSM', key_size: 2048 }],
    ] as const)
      expect((await production.admin('POST', `/keys/${name}/create`, body)).status).toBe(200);
  }, 120_000);
  afterAll(async () => {
    await production.stop();
    await hsm.remove();
  });

  const create = (bits: number) =>
    production.admin('POST', '/keys/made/create', { kty: 'RSA-HSM', key_size: bits });

  /** The processes that make keys, of all the worker processes. */
  async function generators(): Promise<readonly { pid: number; parent: number }[]> {
    const found = [];
    for (const name of await readdir('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const command = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
      if (!command.includes('generator-process')) continue;
      const parent = await parentOf(name);
      if ((await parentOf(parent)) === String(production.service.process.pid))
        found.push({ pid: Number(name), parent: Number(parent) });
    }
    return found;
  }

  test('keys are used while an RSA key is made, which a process of its own does', async () => {
    const state = { isMade: false };
    const making = create(4096).finally(() => (state.isMade = true));
    let wraps = 0;
    for (; !state.isMade; wraps += 1) {
      const answer = await production.admin('POST', '/keys/used/wrapkey', {
        alg: 'A256KW',
        value: VALUE,
      });
      expect(answer.status).toBe(200);
    }
    expect((await making).status).toBe(200);
    // One call at a time would be a wrap or two.
    expect(wraps).toBeGreaterThan(10);
    expect(await generators()).toHaveLength(1);
  }, 60_000);

  test('a rotated key is made there too', async () => {
    const before = await generators();
    expect((await production.admin('POST', '/keys/made/rotate')).status).toBe(200);
    expect(await generators()).toEqual(before);
  }, 60_000);

  test('where that process dies over a key, another one makes it', async () => {
    const making = create(3072);
    let pids: readonly number[] = [];
    await until(async () => {
      pids = (await generators()).map(({ pid }) => pid);
      return pids.length > 0;
    });
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    expect((await making).status).toBe(200);
    const after = await generators();
    expect(after).toHaveLength(1);
    expect(pids).not.toContain(after[0]?.pid);
  }, 60_000);

  test('it ends with the worker process that it makes keys for', async () => {
    expect((await create(2048)).status).toBe(200);
    const making = create(3072).catch(() => undefined);
    const [generator] = await generators();
    if (generator === undefined) throw new Error('there is none');
    process.kill(generator.parent, 'SIGKILL');
    await making;
    await until(async () => (await parentOf(String(generator.pid))) === undefined);
  }, 120_000);
});

/** Undefined where there is no such process. */
async function parentOf(pid: string | undefined): Promise<string | undefined> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8').catch(() => '');
  return /^State:\tZ/m.test(status) ? undefined : /^PPid:\t(\d+)$/m.exec(status)?.[1];
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1_500; tries += 1) {
    if (await isSo().catch(() => false)) return;
    await delay(50);
  }
  throw new Error('it did not come about');
}
