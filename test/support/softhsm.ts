import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initialiseToken, writeConfiguration } from '../../src/setup/softhsm/token.ts';
import { fromGlobalSetup } from './environment.ts';

export interface TestToken {
  readonly module: string;
  readonly tokenLabel: string;
  readonly pin: string;
}

/** The token of this jest worker, shared by the test files that run in it one after the other. */
export function testToken(): TestToken {
  return tokenLabelled(`worker-${fromGlobalSetup('JEST_WORKER_ID')}`);
}

export const PRODUCTION_TOKEN = 'production';

/** The token of all services that are started as in production: it has the root keys of their pool, and nothing else. */
export function productionToken(): TestToken {
  return tokenLabelled(PRODUCTION_TOKEN);
}

function tokenLabelled(tokenLabel: string): TestToken {
  return {
    module: fromGlobalSetup('STRONGROOM_TEST_PKCS11_MODULE'),
    tokenLabel,
    pin: fromGlobalSetup('STRONGROOM_TEST_PKCS11_PIN'),
  };
}

/** A token that nobody else uses, for the process with this environment. */
export async function makeToken(): Promise<{
  readonly environment: Readonly<Record<string, string>>;
  remove(): Promise<void>;
}> {
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  const configFile = join(folder, 'softhsm2.conf');
  const token = tokenLabelled('own');
  await mkdir(join(folder, 'tokens'));
  await writeConfiguration(configFile, join(folder, 'tokens'));
  await initialiseToken({ ...token, configFile });
  return {
    environment: {
      SOFTHSM2_CONF: configFile,
      PKCS11_MODULE: token.module,
      PKCS11_TOKEN_LABEL: token.tokenLabel,
      PKCS11_PIN: token.pin,
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
