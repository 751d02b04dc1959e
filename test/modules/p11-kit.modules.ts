import { describe, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeToken } from '../support/softhsm.ts';
import { findFile } from './machine.ts';
import { expected, LIMIT_MS, type ModuleAtHand, tryModule } from './trial.ts';

/** p11-kit's proxy in front of SoftHSM2 alone (Debian: libp11-kit0 with p11-kit-modules). */
const proxy = findFile('p11-kit-proxy.so');

const missing = proxy === undefined ? 'there is no p11-kit-proxy.so' : undefined;
if (missing !== undefined) console.warn(`skipped: ${missing}`);

(missing === undefined ? describe : describe.skip)('p11-kit-proxy', () => {
  test(
    'does what the table says',
    async () => {
      expect(await tryModule('p11-kit-proxy', prepare)).toEqual(expected('p11-kit-proxy'));
    },
    LIMIT_MS,
  );
});

async function prepare(): Promise<ModuleAtHand> {
  const token = await makeToken();
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  await mkdir(join(folder, 'pkcs11/modules'), { recursive: true });
  const write = (name: string, line: string) =>
    writeFile(join(folder, 'pkcs11', name), `${line}\n`);
  await write('pkcs11.conf', 'user-config: only');
  await write('modules/softhsm.module', `module: ${token.environment['PKCS11_MODULE'] ?? ''}`);
  return {
    environment: {
      ...token.environment,
      PKCS11_MODULE: proxy ?? '',
      XDG_CONFIG_HOME: folder,
      HOME: folder,
    },
    async remove() {
      await token.remove();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
