import type { Logger } from 'pino';
import type { Pkcs11Hsm } from '../hsm/pkcs11-hsm.ts';
import { tokenOf } from './service/pool-settings.ts';
import type { ServiceSettings } from './service/settings.ts';
import type { ClearCeremony } from '../core/recovery/security-domain/ports.ts';
import { createClearCeremonyApart } from './ceremony/clear-ceremony-apart.ts';
import { openHsm } from './hsm.ts';
import type { FullBackups } from '../core/recovery/full-backup/ports.ts';
import { openFullBackups } from './full-backup.ts';
import { systemClock } from '../core/clock.ts';
import { openObjectKeeper } from './objects.ts';
import { openPoolKeys } from './root-keys.ts';
import { openSignedLog, type SignedLog } from './signed-log.ts';
import { openStore, type OpenStore } from './store.ts';

/** A pool as a command has it, beside the running service. */
export interface OpenPool extends OpenStore {
  readonly hsm: Pkcs11Hsm;
  readonly signedLog: SignedLog;
  readonly fullBackups: FullBackups;
  readonly clearCeremony: ClearCeremony;
}

/** Sessions of a command: one that works, and one that stays logged in. */
const SESSIONS = 2;

/** @throws OperatorError where there is no such pool, or the token isn't its own */
export async function openPool(
  settings: Pick<ServiceSettings, 'databaseUrl' | 'pool' | 'pkcs11' | 'tokens'>,
  log: Logger,
): Promise<OpenPool> {
  const store = await openStore(settings, log);
  const { context, pool } = store;
  let hsm: Pkcs11Hsm | undefined;
  const close = async () => {
    await hsm?.close();
    await store.close();
  };
  try {
    const pkcs11 = tokenOf(settings, pool);
    hsm = openHsm({ pkcs11, sessions: SESSIONS }, pool.keeping, log);
    await openPoolKeys(context, pool, hsm);
    const keeper = openObjectKeeper(context, pool, hsm, settings, log);
    const signedLog = openSignedLog(context, pool, hsm, systemClock, keeper);
    const fullBackups = openFullBackups({ context, pool, hsm, settings, log, pauseShare: 0 });
    const clearCeremony = createClearCeremonyApart({ pkcs11, poolId: pool.id, hsm });
    return { context, pool, hsm, signedLog, fullBackups, clearCeremony, close };
  } catch (error) {
    await close();
    throw error;
  }
}
