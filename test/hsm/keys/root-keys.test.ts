import { describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { fromGlobalSetup } from '../../support/environment.ts';
import { buildModuleShim, hasCompiler } from '../../support/module-shim.ts';
import { modulesFolder } from '../../support/modules.ts';
import { testToken } from '../../support/softhsm.ts';

const run = promisify(execFile);
const SCRIPT = fileURLToPath(new URL('root-keys.mjs', import.meta.url));
const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

(canBuild ? describe : describe.skip)('root keys that the token does not take', () => {
  test.each([
    ['root-wrap', 'answer GenerateKey CKR_TEMPLATE_INCONSISTENT if mechanism 0x1080'],
    ['root-seal', 'answer GenerateKey CKR_DEVICE_MEMORY if mechanism 0x350'],
  ])('are refused in a sentence that names %s, and neither stays', async (part, line) => {
    await modulesFolder();
    const shim = await buildModuleShim({ lines: [line] });
    try {
      const { PKCS11_MODULE: module, ...environment } = shim.environment;
      const { tokenLabel, pin } = testToken();
      const { stdout } = await run(
        process.execPath,
        [SCRIPT, JSON.stringify({ module, tokenLabel, pin })],
        {
          env: {
            PATH: process.env['PATH'],
            SOFTHSM2_CONF: fromGlobalSetup('SOFTHSM2_CONF'),
            ...environment,
          },
        },
      );
      expect(JSON.parse(stdout)).toEqual({
        left: 0,
        kind: 'OperatorError',
        refused: expect.stringContaining(`does not take a ${part} key`) as unknown,
      });
    } finally {
      await shim.remove();
    }
  });
});
