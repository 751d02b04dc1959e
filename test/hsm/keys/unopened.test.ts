import { describe, expect, test } from '@jest/globals';
import { killAndWait, startScript } from '../../support/child-script.ts';
import { fromGlobalSetup } from '../../support/environment.ts';
import { buildModuleShim, hasCompiler } from '../../support/module-shim.ts';
import { testToken } from '../../support/softhsm.ts';

const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

/** Keys that a module has wrapped by AES-GCM, since it had no RFC 5649, and that another module is to open. */
(canBuild ? describe : describe.skip)(
  'a key that was wrapped in a way that the module lacks',
  () => {
    test('is refused in words that name module and mechanism; the connection stays, and other keys work', async () => {
      const shim = await buildModuleShim({ profile: 'no-kwp' });
      const { tokenLabel, pin, module: real } = testToken();
      const environment = { ...shim.environment, SOFTHSM2_CONF: fromGlobalSetup('SOFTHSM2_CONF') };
      // Which assertion fails is in the error with which the script's output is thrown.
      await expect(
        startScript(`
        import assert from 'node:assert/strict';
        import { randomBytes, randomUUID } from 'node:crypto';
        import { writeFileSync } from 'node:fs';
        const { openPkcs11Hsm } = await import(MODULES + 'hsm/pkcs11-hsm.js');
        Object.assign(process.env, ${JSON.stringify(environment)});
        const messages = [];
        const open = () => openPkcs11Hsm({
          module: process.env.PKCS11_MODULE, ...${JSON.stringify({ tokenLabel, pin })},
          sessions: 4, leaseWaitMs: 10_000, reconnectWaitMs: 2_000, waitingLimit: 100, loadedKeys: 100,
          operationDeadlineMs: 5_000, keyGenerationDeadlineMs: 60_000, usesThreads: true,
          onHang: () => undefined, log: (_level, message) => messages.push(message),
        });
        const pool = randomUUID();
        const newKey = (hsm) => hsm.generateKey({
          pool, name: 'key', version: randomBytes(16).toString('hex'), operations: ['wrapKey'],
          exportable: false, origin: 'generated',
        }, { keyType: 'oct-HSM', bits: 256 });
        const wrap = (hsm, key) => hsm.encrypt(key, 'A256KW', Buffer.alloc(32, 7), {});

        const before = open();
        before.createRootKeys(pool, 1);
        const old = await newKey(before);
        await wrap(before, old);
        assert.equal(before.whyNotOpened({ isMultipleOf8: false, firstByte: 2 }), undefined);
        await before.close();

        writeFileSync(process.env.MODULE_SHIM_PLAN, 'module ${real}\\n');
        const after = open();
        assert.ok(after.openRootKeys(pool, 1));
        const refused = await wrap(after, old).then(() => assert.fail('it was opened'), (error) => error);
        assert.equal(refused.code, 'BadParameter');
        assert.match(refused.message, /CKM_AES_GCM.*Shim: no profile.*CKR_/);
        await wrap(after, await newKey(after));
        assert.deepEqual(messages, []);
        assert.match(after.whyNotOpened({ isMultipleOf8: false, firstByte: 2 }), /CKM_AES_GCM.*CKR_/);
        assert.match(after.whyNotOpened({ isMultipleOf8: false, firstByte: 9 }), /later version/);
        assert.equal(after.whyNotOpened({ isMultipleOf8: true, firstByte: 2 }), undefined);
        await after.close();
      `).then(killAndWait),
      ).resolves.toBeUndefined();
      await shim.remove();
    });
  },
);
