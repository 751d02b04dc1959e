import { realpath } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { type Logger } from 'pino';
import { createCertificates } from '../attestation/certificates.ts';
import { newVersionId, openHsm, openRootKeys, systemClock } from '../compose/compose.ts';
import { type Config, ConfigError, type Secrets } from '../config/config.ts';
import { createAuditChain } from '../core/audit/chain.ts';
import { createCertifiedKeys, type CertifiedKeys } from '../core/pool/certified-keys.ts';
import { readPin } from '../config/setting-files.ts';
import { findRunningPostgres } from '../setup/postgres/embedded-postgres.ts';
import { prepareSoftHsmToken } from '../setup/softhsm/token.ts';
import { openDatabase, type StoreContext } from '../store/database.ts';
import { requireCurrentSchema } from '../store/migrate.ts';
import { findPool, type Pool } from '../store/pool/pool-store.ts';
import { createCertifiedKeyStore } from '../store/pool/certified-key-store.ts';

export interface OperatorSettings {
  readonly config: Config;
  readonly secrets: Secrets;
  /** Sets a variable of this process, for the PKCS#11 library that it loads. */
  readonly setEnvironment: (name: string, value: string) => void;
}

interface OpenStore {
  readonly context: StoreContext;
  readonly pool: Pool;
  close(): Promise<void>;
}

/** A pool as an operator's command has it, beside the running service. */
export interface OpenPool extends OpenStore {
  readonly statements: CertifiedKeys;
}

/** The database alone. @throws Error with a sentence for the operator */
export async function openStore(url: string, poolName: string, log: Logger): Promise<OpenStore> {
  await requireCurrentSchema(url);
  const db = openDatabase({
    url,
    connections: 3,
    onIdleError: (error) => {
      log.warn({ err: error }, 'an idle database connection broke');
    },
  });
  const close = () => db.destroy();
  try {
    const pool = await findPool(db, poolName);
    if (pool === undefined) throw new ConfigError(`There is no pool "${poolName}".`);
    const chain = createAuditChain({ poolId: pool.id, newGuid: randomUUID, clock: systemClock });
    return { context: { db, poolId: pool.id, chain, publish: () => undefined }, pool, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * Opens the database and the HSM of the settings, or those of the service that runs on the data folder.
 * @param as whose rights in the database: those of the service, or of the owner of its tables
 * @throws Error with a sentence for the operator
 */
export async function openPool(
  { config, secrets, setEnvironment }: OperatorSettings,
  log: Logger,
  as: 'service' | 'owner' = 'service',
): Promise<OpenPool> {
  const url = await databaseUrlOf(config, secrets, as);
  const pkcs11 = await pkcs11Of(config, secrets, setEnvironment);
  const store = await openStore(url, config.pool, log);
  const { context, pool } = store;
  const hsm = openHsm({ pkcs11, sessions: 2 }, log);
  const close = async () => {
    await hsm.close();
    await store.close();
  };
  try {
    await openRootKeys(hsm, pool);
    const statements = createCertifiedKeys({
      hsm,
      store: createCertifiedKeyStore(context),
      certificates: createCertificates(),
      pool: { id: pool.id, name: pool.name },
      newVersionId,
      newGuid: randomUUID,
      clock: systemClock,
    });
    return { context, pool, statements, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** @throws SetupError where none is given and none runs */
export async function databaseUrlOf(
  config: Config,
  secrets: Secrets,
  as: 'service' | 'owner',
): Promise<string> {
  if (secrets.databaseUrl !== undefined) return secrets.databaseUrl;
  const folder = await realpath(config.dataFolder).catch(() => config.dataFolder);
  const { serviceUrl, ownerUrl } = await findRunningPostgres(folder);
  return as === 'service' ? serviceUrl : ownerUrl;
}

async function pkcs11Of(
  config: Config,
  secrets: Secrets,
  setEnvironment: OperatorSettings['setEnvironment'],
) {
  if (config.pkcs11 !== undefined) return { ...config.pkcs11, pin: await readPin(secrets) };
  const token = await prepareSoftHsmToken(await realpath(config.dataFolder));
  setEnvironment('SOFTHSM2_CONF', token.configFile);
  return token;
}
