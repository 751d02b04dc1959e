import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { initialiseToken, writeConfiguration } from '../../../src/setup/softhsm/token.ts';
import { killAndWait, startScript } from '../../support/child-script.ts';
import { buildModuleShim, hasCompiler } from '../../support/module-shim.ts';
import { testToken } from '../../support/softhsm.ts';

const canBuild = await hasCompiler();

/** Several pools in one process, on two tokens of SoftHSM2. */
describe('a library that several pools of a process use', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
    await mkdir(join(folder, 'tokens'));
    const configFile = join(folder, 'softhsm2.conf');
    await writeConfiguration(configFile, join(folder, 'tokens'));
    for (const tokenLabel of ['one', 'two'])
      await initialiseToken({ ...testToken(), tokenLabel, configFile });
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** Runs a script with the compiled HSM layer: threads load files of their own. */
  async function run(script: string): Promise<void> {
    const { module, pin } = testToken();
    const child = await startScript(`
      import assert from 'node:assert/strict';
      import { randomBytes, randomUUID } from 'node:crypto';
      import { readdir, readFile, rename } from 'node:fs/promises';
      import { setTimeout as delay } from 'node:timers/promises';
      import graphene from 'graphene-pk11';
      const { openPkcs11Hsm, openPkcs11HsmInThread } = await import(MODULES + 'hsm/pkcs11-hsm.js');
      const { newObjectId } = await import(MODULES + 'core/keys/objects/object-id.js');
      const folder = ${JSON.stringify(folder)};
      process.env.SOFTHSM2_CONF = folder + '/softhsm2.conf';
      const options = (tokenLabel, messages, more = {}) => ({
        module: ${JSON.stringify(module)}, pin: ${JSON.stringify(pin)}, tokenLabel, leaseWaitMs: 10_000,
        reconnectWaitMs: 5_000, waitingLimit: 100, loadedKeys: 100, operationDeadlineMs: 5_000,
        keyGenerationDeadlineMs: 60_000, usesThreads: true, onHang: (what) => messages.push('hang ' + what),
        log: (level, message, details) => messages.push(message), ...more,
      });
      const made = async (hsm, messages, more = {}) => {
        const pool = randomUUID();
        hsm.createRootKeys(pool, 1);
        const identity = (name) => ({
          pool, name, version: randomBytes(16).toString('hex'), operations: ['sign', 'verify'],
          exportable: false, origin: 'generated',
        });
        const object = more.keeping && (async () => ({ private: newObjectId(), mac: newObjectId() }));
        const make = (spec = { keyType: 'EC-HSM', curve: 'P-256' }) => hsm.generateKey(identity('made'), spec, undefined, object);
        const aes = await make({ keyType: 'oct-HSM', bits: 256 });
        const ask = async () => Buffer.from(await hsm.sign(aes, 'HS256', Buffer.from('x'))).toString('hex');
        const answer = await ask();
        const work = async () => {
          assert.equal(await ask(), answer);
          await hsm.sign(await make(), 'ES256', Buffer.alloc(32, 1));
        };
        return { hsm, pool, messages, work, make };
      };
      const poolOn = (label, more) => {
        const messages = [];
        return made(openPkcs11Hsm(options(label, messages, more)), messages, more);
      };
      const poolInThread = async (label, more) => {
        const messages = [];
        return made(await openPkcs11HsmInThread(options(label, messages, more)), messages);
      };
      /** Takes the folder of a token away; what it gives brings it back. */
      const pull = async (label) => {
        for (const name of await readdir(folder + '/tokens')) {
          const [from, to] = [folder + '/tokens/' + name, folder + '/' + name];
          if (!(await readFile(from + '/token.object')).includes(label + ' ')) continue;
          await rename(from, to);
          return () => rename(to, from);
        }
      };
      const all = (pools) => Promise.all(pools.map(({ work }) => work()));
      /** Calls of each until it is told to end, and how many fail. */
      const load = (pools) => {
        const state = { calls: 0, failed: [], isOver: false };
        const loops = pools.map(async ({ work }) => {
          while (!state.isOver) {
            await work().catch((error) => state.failed.push(error.code ?? error.message));
            state.calls += 1;
          }
        });
        return { end: async () => { state.isOver = true; await Promise.all(loops); return state; } };
      };
      const works = async (pool) => {
        for (let turn = 0; ; turn += 1) {
          if (await pool.work().then(() => true, () => false)) return;
          assert.ok(turn < 100, 'it does not come back');
          await delay(100);
        }
      };
      const module = graphene.Module.load(${JSON.stringify(module)}, 'outside');
      const slotOf = (label) => {
        const slots = module.getSlots(true);
        for (let index = 0; index < slots.length; index += 1)
          if (slots.items(index).getToken().label.trim() === label) return slots.items(index);
      };
      const isInitialised = () => {
        try { module.lib.C_GetInfo(); return true; } catch { return false; }
      };
      ${script}
    `);
    await killAndWait(child);
  }

  test('serves all of them, and those that stay when others close; the last one gives it up', async () => {
    await expect(
      run(`
        const pools = [];
        for (const label of ['one', 'one', 'one', 'two', 'two']) pools.push(await poolOn(label));
        await all(pools);
        // RSA keys are made in threads.
        await Promise.all([pools[0], pools[3]].map(({ make }) => make({ keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 })));
        const first = pools.shift();
        const under = load(pools);
        await first.hsm.close();
        await delay(200);
        const { failed, calls } = await under.end();
        assert.deepEqual(failed, []);
        assert.ok(calls > 20);
        // One more comes in the place of the one that went.
        pools.push(await poolOn('one'));
        for (const label of ['two', 'two', 'one', 'one']) {
          await all(pools);
          const at = label === 'two' ? 2 - Number(pools.length < 5) : 0;
          await pools.splice(Math.min(at, pools.length - 1), 1)[0].hsm.close();
          assert.ok(isInitialised());
        }
        await all(pools);
        assert.deepEqual(pools.flatMap(({ messages }) => messages), []);
        await pools[0].hsm.close();
        assert.equal(isInitialised(), false);
        // And it can be opened again.
        await (await poolOn('two')).work();
      `),
    ).resolves.toBeUndefined();
  }, 60_000);

  test('of which one token loses all sessions serves them again, and those on the other token without a break', async () => {
    await expect(
      run(`
        const [one, other, away] = [await poolOn('one'), await poolOn('one'), await poolOn('two')];
        const under = load([away]);
        slotOf('one').closeAll();
        await Promise.all([works(one), works(other)]);
        await delay(200);
        const { failed } = await under.end();
        assert.deepEqual(failed, []);
        assert.deepEqual(away.messages, []);
        await all([one, other, away]);
      `),
    ).resolves.toBeUndefined();
  }, 60_000);

  test('that is finalised behind their back is initialised anew once all have found it lost, also who was not asked for anything', async () => {
    await expect(
      run(`
        const pools = [await poolOn('one'), await poolOn('one'), await poolOn('two')];
        module.finalize();
        await works(pools[0]);
        for (const { messages } of pools) assert.equal(messages[0], 'the HSM is lost: the connection is made anew');
        for (let turn = 0; turn < 50 && pools.some(({ messages }) => !messages.includes('the HSM is back')); turn += 1)
          await delay(100);
        await all(pools);
        for (const { messages } of pools)
          assert.deepEqual(messages, ['the HSM is lost: the connection is made anew', 'the HSM is back']);
      `),
    ).resolves.toBeUndefined();
  }, 60_000);

  test('serves the pools of one token while the other is pulled, and both without a failure when it is back', async () => {
    await expect(
      run(`
        const [stays, pulled] = [await poolOn('one'), await poolOn('two')];
        const under = load([stays, stays]);
        const bringBack = await pull('two');
        await assert.rejects(pulled.work());
        await delay(1_000);
        await assert.rejects(pulled.work());
        // Nobody has touched the library of the one that stays.
        assert.deepEqual(stays.messages, []);
        await bringBack();
        await works(pulled);
        await all([stays, pulled]);
        const { failed, calls } = await under.end();
        assert.deepEqual(failed, []);
        assert.ok(calls > 50);
        assert.deepEqual(stays.messages, ['the library of the HSM is initialised anew for another pool', 'the HSM is back']);
      `),
    ).resolves.toBeUndefined();
  }, 60_000);

  test('opens a token that has come since it was initialised, and one in a thread while others are served', async () => {
    await expect(
      run(`
        const bring = await pull('two');
        const first = await poolOn('one');
        const under = load([first, first]);
        const second = await poolInThread('one');
        await assert.rejects(poolInThread('two'), /PKCS11_TOKEN_LABEL/);
        assert.deepEqual(first.messages, []);
        await bring();
        const third = await works({ work: async () => (first.third = await poolInThread('two')) }).then(() => first.third);
        await all([first, second, third]);
        const { failed } = await under.end();
        assert.deepEqual(failed, []);
        assert.deepEqual(first.messages, ['the library of the HSM is initialised anew for another pool', 'the HSM is back']);
        await Promise.all([first, second, third].map(({ hsm }) => hsm.close()));
        assert.equal(isInitialised(), false);
      `),
    ).resolves.toBeUndefined();
  }, 60_000);

  test('keeps the others when the root keys of one are gone', async () => {
    await expect(
      run(`
        const [one, bad, other] = [await poolOn('one'), await poolOn('one'), await poolOn('two')];
        const under = load([one, other]);
        const onlooker = slotOf('one').open(graphene.SessionFlag.SERIAL_SESSION | graphene.SessionFlag.RW_SESSION);
        const roots = onlooker.find({ label: 'strongroom root-seal 1', id: Buffer.from(bad.pool + ':root-seal:1') });
        assert.equal(roots.length, 1);
        roots.items(0).destroy();
        for (let turn = 0; turn < 5; turn += 1) {
          await assert.rejects(bad.work(), { code: 'HsmUnavailable' });
          await delay(100);
        }
        const { failed } = await under.end();
        assert.deepEqual(failed, []);
        assert.deepEqual([...one.messages, ...other.messages], []);
        await bad.hsm.close();
        await all([one, other]);
      `),
    ).resolves.toBeUndefined();
  }, 60_000);

  (canBuild ? describe : describe.skip)('of a token with few sessions', () => {
    test('shares the sessions of a token out: each of four pools works with its own, whatever the others do', async () => {
      const shim = await buildModuleShim({ profile: 'yubihsm' });
      await expect(
        run(`
        Object.assign(process.env, ${JSON.stringify(shim.environment)});
        const here = { module: process.env.PKCS11_MODULE, keeping: 'resident' };
        const pools = [];
        for (let count = 0; count < 4; count += 1) pools.push(await poolOn('one', here));
        const loads = pools.map((pool) => load(Array.from({ length: 8 }, () => pool)));
        await delay(1_000);
        const counts = await Promise.all(loads.map(({ end }) => end()));
        assert.deepEqual(counts.flatMap(({ failed }) => failed), []);
        for (const { calls } of counts) assert.ok(calls >= 8, JSON.stringify(counts));
        for (const { hsm } of pools) assert.ok(hsm.status.open <= 2, JSON.stringify(hsm.status));
        await Promise.all(pools.map(({ make }) => make({ keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 })));
        // Seven have two each; there is none for an eighth.
        for (let count = 0; count < 3; count += 1) pools.push(await poolOn('one', here));
        await assert.rejects(async () => poolOn('one', here), /16 sessions.*8 pools/);
        await all(pools);
        for (const { hsm } of pools.splice(0, 6)) await hsm.close();
        const last = load(Array.from({ length: 8 }, () => pools[0]));
        await delay(500);
        assert.deepEqual((await last.end()).failed, []);
      `),
      ).resolves.toBeUndefined();
      await shim.remove();
    }, 60_000);
  });

  test('has one login for a token: a PIN that is refused is tried once, and another one than that in use never', async () => {
    await expect(
      run(`
        const { PinRefusedError } = await import(MODULES + 'core/operator-error.js');
        let logins = 0;
        const { Session } = graphene;
        const logIn = Session.prototype.login;
        Session.prototype.login = function (...given) {
          logins += 1;
          return logIn.apply(this, given);
        };
        const open = (more) => openPkcs11Hsm(options('one', [], more));
        for (let turn = 0; turn < 3; turn += 1)
          assert.throws(() => open({ pin: 'wrong-pin' }), (error) => error.name === PinRefusedError.name);
        assert.equal(logins, 1);
        const right = open();
        assert.equal(logins, 2);
        for (const pin of ['wrong-pin', 'other-pin'])
          assert.throws(() => open({ pin }), (error) => error.name === PinRefusedError.name);
        assert.equal(logins, 2);
        assert.throws(() => open({ libraryParameters: 'x' }), /PKCS11_LIBRARY_PARAMETERS/);
        await right.close();
      `),
    ).resolves.toBeUndefined();
  }, 60_000);
});
