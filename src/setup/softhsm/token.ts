import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageFile } from '../../core/package-file.ts';
import {
  makePrivateFolder,
  readIfPresent,
  syncFolder,
  writeFileAtomically,
} from '../private-file.ts';
import { SetupError } from '../setup-error.ts';
import { findSoftHsmLibrary } from './library.ts';
import { softHsmPathOf } from './path.ts';

export interface SoftHsmToken {
  /** Path of the PKCS#11 library. */
  readonly module: string;
  readonly tokenLabel: string;
  readonly pin: string;
  /** For SOFTHSM2_CONF in the environment of the process that loads the library. */
  readonly configFile: string;
}

const LABEL = 'strongroom';
const INIT_LIMIT_MS = 120_000;
const TEMPLATE = packageFile('softhsm/softhsm2.conf.template');
const INIT_TOKEN = fileURLToPath(packageFile('softhsm/init-token.mjs'));

/**
 * Makes the SoftHSM2 token of a data folder where there is none, and tells how to reach it. The token is made under
 * another name after its PIN is on disk, and renamed when complete: a crash in between leaves nothing to repair.
 * @throws SetupError when SoftHSM2 is missing, refuses, or the PIN of a token is lost
 */
export async function prepareSoftHsmToken(folder: string): Promise<SoftHsmToken> {
  const module = findSoftHsmLibrary();
  const tokens = join(folder, 'tokens');
  const configFile = join(folder, 'softhsm2.conf');
  const pinFile = join(folder, 'pkcs11-pin');
  const path = await softHsmPathOf(folder, folderIn(await readIfPresent(configFile)));
  let pin = (await readIfPresent(pinFile))?.trim();
  if (await exists(tokens)) {
    if (pin === undefined)
      throw new SetupError(`The token in ${tokens} can't be used: its PIN is not in ${pinFile}.`);
  } else {
    if (pin === undefined) {
      pin = randomSecret();
      await writeFileAtomically(pinFile, `${pin}\n`);
    }
    await makeTokens(folder, path, module, pin);
  }
  await writeConfiguration(configFile, join(path, 'tokens'));
  return { module, tokenLabel: LABEL, pin, configFile };
}

/** The token of a data folder as an earlier start has made it; undefined where there is none. */
export async function findSoftHsmToken(folder: string): Promise<SoftHsmToken | undefined> {
  const configFile = join(folder, 'softhsm2.conf');
  const pin = (await readIfPresent(join(folder, 'pkcs11-pin')))?.trim();
  if (pin === undefined || !(await exists(configFile))) return undefined;
  return { module: findSoftHsmLibrary(), tokenLabel: LABEL, pin, configFile };
}

/** @param path of the folder, as SoftHSM2 can take it */
async function makeTokens(
  folder: string,
  path: string,
  module: string,
  pin: string,
): Promise<void> {
  const temporary = join(folder, 'tokens.new');
  const configFile = join(folder, 'softhsm2.new.conf');
  await rm(temporary, { recursive: true, force: true });
  await makePrivateFolder(temporary);
  await writeConfiguration(configFile, join(path, 'tokens.new'));
  await initialiseToken({ module, tokenLabel: LABEL, pin, configFile });
  await rm(configFile);
  await rename(temporary, join(folder, 'tokens'));
  await syncFolder(folder);
}

/** The folder whose tokens a configuration names. */
function folderIn(configuration: string | undefined): string | undefined {
  const tokens = /^directories\.tokendir = (?<tokens>.+)$/m.exec(configuration ?? '')?.groups;
  return tokens?.['tokens'] === undefined ? undefined : dirname(tokens['tokens']);
}

/** Writes the configuration of a SoftHSM2 whose tokens are in the folder. */
export async function writeConfiguration(file: string, tokens: string): Promise<void> {
  const template = await readFile(TEMPLATE, 'utf8');
  await writeFileAtomically(
    file,
    template.replace('@TOKEN_FOLDER@', () => tokens),
  );
}

/**
 * Initialises a free slot. The security officer's PIN is random and kept nowhere: all it could do is set another user
 * PIN, and a secret that isn't kept can't leak.
 * @throws SetupError with the driver's words when it refuses
 */
export async function initialiseToken(token: SoftHsmToken): Promise<void> {
  const child = spawn(process.execPath, [INIT_TOKEN], {
    env: { SOFTHSM2_CONF: token.configFile },
    stdio: ['pipe', 'ignore', 'pipe'],
    timeout: INIT_LIMIT_MS,
  });
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (words += text));
  const { module, tokenLabel: label, pin } = token;
  child.stdin
    .on('error', () => undefined)
    .end(JSON.stringify({ module, label, pin, soPin: randomSecret() }));
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (signal === 'SIGTERM')
    throw new SetupError(
      `SoftHSM2 was waited for ${INIT_LIMIT_MS / 1000} s to make a token, and ended (${token.configFile}).`,
    );
  if (status !== 0) throw new SetupError(`SoftHSM2 can't make a token: ${words.trim()}`);
}

function randomSecret(): string {
  return randomBytes(24).toString('base64url');
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
