import { describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findFile, findProgram } from './machine.ts';
import { expected, LIMIT_MS, type ModuleAtHand, tryModule } from './trial.ts';

/** NSS's softokn, with a database that its certutil makes (Debian: libnss3, libnss3-tools). */
const run = promisify(execFile);
const PIN = 'the tests own this token';
const library = findFile('libsoftokn3.so');
const certutil = findProgram('certutil');
const missing =
  library === undefined || certutil === undefined
    ? 'there is no NSS with certutil (libnss3, libnss3-tools)'
    : undefined;

if (missing !== undefined) console.warn(`skipped: ${missing}`);

(missing === undefined ? describe : describe.skip)('softokn', () => {
  test(
    'does what the table says',
    async () => {
      expect(await tryModule('softokn', prepare)).toEqual(expected('softokn'));
    },
    LIMIT_MS,
  );
});

async function prepare(): Promise<ModuleAtHand> {
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  const pinFile = join(folder, 'pin');
  await writeFile(pinFile, `${PIN}\n`);
  await run(certutil ?? '', ['-N', '-d', `sql:${folder}`, '-f', pinFile]);
  return {
    environment: {
      PKCS11_MODULE: library ?? '',
      PKCS11_TOKEN_LABEL: 'NSS Certificate DB',
      PKCS11_PIN: PIN,
      PKCS11_LIBRARY_PARAMETERS: `configdir='sql:${folder}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=`,
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
