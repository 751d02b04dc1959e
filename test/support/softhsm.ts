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
