import { describe, expect, test } from '@jest/globals';
import { killAndWait, startScript } from '../../support/child-script.ts';
import { fromGlobalSetup } from '../../support/environment.ts';
import { buildModuleShim, hasCompiler } from '../../support/module-shim.ts';
import { testToken } from '../../support/softhsm.ts';

const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

/** As the profile `flaky`, which spares the first calls, does it later. */
const faults = (seed: number) => [
  'profile kwp-only',
  `answer Encrypt,Decrypt,Sign,Verify,WrapKey,UnwrapKey CKR_DEVICE_ERROR one-in 40 seed ${String(seed)}`,
  `answer EncryptInit,DecryptInit,SignInit,VerifyInit CKR_SESSION_HANDLE_INVALID one-in 40 seed ${String(seed + 100)}`,
];

(canBuild ? describe : describe.skip)(
  'a module of whose calls one in 40 fails from the first on',
  () => {
    test.each([1, 2, 3, 4])('is opened, and taken for what it is (%i)', async (seed) => {
      const shim = await buildModuleShim({ lines: faults(seed) });
      const { tokenLabel, pin } = testToken();
      const environment = { ...shim.environment, SOFTHSM2_CONF: fromGlobalSetup('SOFTHSM2_CONF') };
      // Which assertion fails is in the error with which the script's output is thrown.
      await expect(
        startScript(`
        import assert from 'node:assert/strict';
        const { openPkcs11Hsm } = await import(MODULES + 'hsm/pkcs11-hsm.js');
        Object.assign(process.env, ${JSON.stringify(environment)});
        const hsm = openPkcs11Hsm({
          module: process.env.PKCS11_MODULE, ...${JSON.stringify({ tokenLabel, pin })},
          sessions: 2, leaseWaitMs: 10_000, reconnectWaitMs: 2_000, waitingLimit: 100, loadedKeys: 100,
          operationDeadlineMs: 5_000, keyGenerationDeadlineMs: 60_000,
          onHang: () => undefined, log: () => undefined,
        });
        const { keys, algorithms } = await hsm.offer();
        const lacking = [...keys, ...algorithms].filter(({ lack, except }) => lack ?? except);
        // SoftHSM 2.6.1 has no ML-DSA.
        const isMlDsa = ({ lack = '' }) => lack.startsWith('CKM_ML_DSA');
        assert.deepEqual(lacking.filter((one) => !isMlDsa(one)), []);
        await hsm.close();
      `).then(killAndWait),
      ).resolves.toBeUndefined();
      await shim.remove();
    });
  },
);
