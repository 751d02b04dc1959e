import type { Logger } from 'pino';
import type { ServiceSettings } from './service/settings.ts';
import { openHsm, openRootKeys } from './hsm.ts';
import { openSignedLog, type SignedLog } from './signed-log.ts';
import { openStore, type OpenStore } from './store.ts';

/** A pool as a command has it, beside the running service. */
export interface OpenPool extends OpenStore {
  readonly signedLog: SignedLog;
}

/** Sessions of a command: one that works, and one that stays logged in. */
const SESSIONS = 2;

/** @throws OperatorError where there is no such pool, or the token isn't its own */
export async function openPool(
  settings: Pick<ServiceSettings, 'databaseUrl' | 'pool' | 'pkcs11'>,
  log: Logger,
): Promise<OpenPool> {
  const store = await openStore(settings, log);
  const { context, pool } = store;
  const hsm = openHsm({ pkcs11: settings.pkcs11, sessions: SESSIONS }, log);
  const close = async () => {
    await hsm.close();
    await store.close();
  };
  try {
    await openRootKeys(hsm, pool);
    return { context, pool, signedLog: openSignedLog(context, pool, hsm), close };
  } catch (error) {
    await close();
    throw error;
  }
}
