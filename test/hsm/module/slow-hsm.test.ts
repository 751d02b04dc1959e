import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import { killAndWait, startScript } from '../../support/child-script.ts';
import { fromGlobalSetup } from '../../support/environment.ts';
import { buildModuleShim, hasCompiler, type ModuleShim } from '../../support/module-shim.ts';
import { testToken } from '../../support/softhsm.ts';

const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

(canBuild ? describe : describe.skip)('a slow HSM', () => {
  let slow: ModuleShim;
  beforeAll(async () => {
    slow = await buildModuleShim({ parallel: 8 });
    await slow.setLatency(2);
  });
  afterAll(() => slow.remove());

  /** Runs a script with the compiled HSM layer (threads load files of their own) open on the slow module. */
  async function run(script: string): Promise<void> {
    const { tokenLabel, pin } = testToken();
    const environment = { ...slow.environment, SOFTHSM2_CONF: fromGlobalSetup('SOFTHSM2_CONF') };
    const child: ChildProcess = await startScript(`
      import assert from 'node:assert/strict';
      import { randomBytes, randomUUID } from 'node:crypto';
      import { appendFileSync } from 'node:fs';
      import { setTimeout as delay } from 'node:timers/promises';
      const { openPkcs11Hsm } = await import(MODULES + 'hsm/pkcs11-hsm.js');
      const { loadModule } = await import(MODULES + 'hsm/module/library.js');
      Object.assign(process.env, ${JSON.stringify(environment)});
      const module = process.env.PKCS11_MODULE;
      const token = { module, ...${JSON.stringify({ tokenLabel, pin })} };
      const messages = [];
      const hung = [];
      const hsm = openPkcs11Hsm({
        ...token, sessions: 4, leaseWaitMs: 10_000, waitingLimit: 100, loadedKeys: 100,
        operationDeadlineMs: 5_000, keyGenerationDeadlineMs: 60_000, usesThreads: true,
        onHang: (operation) => hung.push(operation), log: (_level, message) => messages.push(message),
      });
      const pool = randomUUID();
      hsm.createRootKeys(pool, 1);
      const identity = (name) => ({
        pool, name, version: randomBytes(16).toString('hex'), operations: ['sign', 'verify'],
        exportable: false, origin: 'generated',
      });
      const newKey = (name) => hsm.generateKey(identity(name), { keyType: 'oct-HSM', bits: 256 });
      const sign = (key) => hsm.sign(key, 'HS256', Buffer.from('x'));
      const outcome = (work) => work.then((value) => Buffer.from(value).toString('hex'), ({ code }) => code);
      ${script}
    `);
    await killAndWait(child);
  }

  test('gets new root keys: keys and the keys of backups are wrapped anew in threads, also after it was lost', async () => {
    await expect(
      run(`
        const key = await newKey('moved');
        const before = await outcome(sign(key));
        const pair = await hsm.generateKey({ ...identity('~backup'), operations: [] }, key.spec);
        hsm.openBackupKeys([pair]);
        const { version } = pair.identity;
        const kept = await hsm.rewrap(key, { pair: version });
        assert.equal(await hsm.useRootKeys(2, (await hsm.makeRootKeys(1)).rootCheck), true);
        const moved = await hsm.rewrap(key, 'current');
        assert.equal(moved.sealed.rootGeneration, 2);
        hsm.openBackupKeys([await hsm.rewrap(pair, 'current')]);
        await hsm.destroyRootKeys(1);
        assert.equal(await outcome(sign(moved)), before);
        loadModule(module).finalize();
        let restored;
        for (let turn = 0; turn < 200 && restored === undefined; turn += 1) {
          await delay(50);
          restored = await hsm.rewrap(kept, 'current', { pair: version }).catch(() => undefined);
        }
        assert.equal(restored.sealed.rootGeneration, 2);
        assert.equal(await outcome(sign(restored)), before);
        assert.deepEqual(hung, []);
        await hsm.close();
      `),
    ).resolves.toBeUndefined();
  }, 60_000);

  test('that is lost comes back by itself, and its keys work again', async () => {
    await expect(
      run(`
        const key = await newKey('survivor');
        const before = await outcome(sign(key));
        // Finalises the library behind the service's back: every session, login and handle is void.
        loadModule(module).finalize();
        assert.equal(await outcome(sign(key)), 'HsmUnavailable');
        let after;
        for (let turn = 0; turn < 200 && after !== before; turn += 1) {
          await delay(50);
          after = await outcome(sign(key));
        }
        assert.equal(after, before);
        assert.ok(messages.includes('the HSM is back'));
        assert.deepEqual(hung, []);
        await hsm.close();
      `),
    ).resolves.toBeUndefined();
  }, 60_000);

  test('loads a key once for all its sessions, whoever uses it at the same time', async () => {
    await expect(
      run(`
        const keys = await Promise.all(['one', 'two', 'three'].map(newKey));
        const { loads } = hsm.status;
        const macs = await Promise.all(Array.from({ length: 24 }, (_, index) => outcome(sign(keys[index % 3]))));
        assert.equal(hsm.status.loads - loads, 3);
        assert.equal(new Set(macs).size, 3);
        assert.ok(macs.every((mac) => mac.length === 64));
        await hsm.close();
      `),
    ).resolves.toBeUndefined();
  }, 60_000);

  test('that does not answer is told of, and so is the caller', async () => {
    await expect(
      run(`
        const key = await newKey('waiting');
        await sign(key);
        appendFileSync(process.env.MODULE_SHIM_PLAN, 'latency 600000000\\n');
        assert.equal(await outcome(sign(key)), 'HsmUnavailable');
        assert.deepEqual(hung, ['sign']);
      `),
    ).resolves.toBeUndefined();
  }, 60_000);
});
