import { describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../support/free-port.ts';
import { findFile, findProgram } from './machine.ts';
import { initialiseNewToken } from './new-token.ts';
import { expected, LIMIT_MS, type ModuleAtHand, tryModule } from './trial.ts';

/** tpm2-pkcs11 on a TPM in software (Debian: libtpm2-pkcs11-1, swtpm). */
const PIN = 'the-tests-own-this';
const library = findFile('pkcs11/libtpm2_pkcs11.so') ?? findFile('libtpm2_pkcs11.so.1');
const swtpm = findProgram('swtpm');
const missing =
  library === undefined || swtpm === undefined ? 'there is no tpm2-pkcs11 with swtpm' : undefined;

if (missing !== undefined) console.warn(`skipped: ${missing}`);

(missing === undefined ? describe : describe.skip)('tpm2-pkcs11', () => {
  test(
    'does what the table says',
    async () => {
      expect(await tryModule('tpm2-pkcs11', prepare)).toEqual(expected('tpm2-pkcs11'));
    },
    LIMIT_MS,
  );
});

async function prepare(): Promise<ModuleAtHand> {
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  const [state, store] = [join(folder, 'state'), join(folder, 'store')];
  await mkdir(state);
  await mkdir(store);
  const port = await freePort();
  // Where the module's own part looks for it.
  const control = port + 1;
  const tpm = spawn(
    swtpm ?? '',
    [
      ...['socket', '--tpm2', '--tpmstate', `dir=${state}`],
      ...[
        '--server',
        `type=tcp,port=${String(port)}`,
        '--ctrl',
        `type=tcp,port=${String(control)}`,
      ],
      ...['--flags', 'not-need-init,startup-clear'],
    ],
    { stdio: 'ignore' },
  );
  const environment = {
    PKCS11_MODULE: library ?? '',
    TPM2_PKCS11_STORE: store,
    TPM2_PKCS11_TCTI: `swtpm:host=127.0.0.1,port=${String(port)}`,
  };
  try {
    await listens(control);
    await initialiseNewToken(environment, 'own', PIN);
  } catch (error) {
    tpm.kill();
    throw error;
  }
  return {
    environment: { ...environment, PKCS11_TOKEN_LABEL: 'own', PKCS11_PIN: PIN },
    async remove() {
      const ended = once(tpm, 'exit');
      tpm.kill();
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function listens(port: number): Promise<void> {
  for (let turn = 0; turn < 200; turn += 1) {
    const socket = createConnection({ host: '127.0.0.1', port });
    const isUp = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (isUp) return;
    await delay(50);
  }
  throw new Error('swtpm does not listen');
}
