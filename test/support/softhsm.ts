import { fromGlobalSetup } from './environment.ts';

export interface TestToken {
  readonly module: string;
  readonly tokenLabel: string;
  readonly pin: string;
}

/** The token of this jest worker, shared by the test files that run in it one after the other. */
export function testToken(): TestToken {
  return {
    module: fromGlobalSetup('STRONGROOM_TEST_PKCS11_MODULE'),
    tokenLabel: `worker-${fromGlobalSetup('JEST_WORKER_ID')}`,
    pin: fromGlobalSetup('STRONGROOM_TEST_PKCS11_PIN'),
  };
}
