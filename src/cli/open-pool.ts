import { realpath } from 'node:fs/promises';
import type { Logger } from 'pino';
import { openPool, type OpenPool } from '../compose/pool.ts';
import { openStore, type OpenStore } from '../compose/store.ts';
import type { Config, Secrets } from '../config/config.ts';
import { findRunningPostgres } from '../setup/postgres/embedded-postgres.ts';
import { requireCurrentSchema } from '../store/migrate.ts';
import type { CliContext } from './cli-context.ts';
import { tokensOf } from './pkcs11-settings.ts';

/** Whose rights a command has in the database: those of the service, or of the owner of its tables. */
type DatabaseUser = 'service' | 'owner';

/** The database alone, of the settings or of the service that runs on the data folder. @throws OperatorError */
export async function openStoreOf({ readSettings }: CliContext, log: Logger): Promise<OpenStore> {
  const { config, secrets } = readSettings();
  const databaseUrl = await databaseUrlOf(config, secrets, 'service');
  await requireCurrentSchema(databaseUrl);
  return openStore({ databaseUrl, pool: config.pool }, log);
}

/** The database and the HSM, of the settings or of the service that runs on the data folder. @throws OperatorError */
export async function openPoolOf(
  context: CliContext,
  log: Logger,
  as: DatabaseUser = 'service',
): Promise<OpenPool> {
  const { config, secrets } = context.readSettings();
  const databaseUrl = await databaseUrlOf(config, secrets, as);
  const tokens = await tokensOf(context);
  await requireCurrentSchema(databaseUrl);
  return openPool({ databaseUrl, pool: config.pool, ...tokens }, log);
}

/** @throws SetupError where none is given and none runs */
export async function databaseUrlOf(
  config: Config,
  secrets: Secrets,
  as: DatabaseUser,
): Promise<string> {
  if (secrets.databaseUrl !== undefined) return secrets.databaseUrl;
  const folder = await realpath(config.dataFolder).catch(() => config.dataFolder);
  const { serviceUrl, ownerUrl } = await findRunningPostgres(folder);
  return as === 'service' ? serviceUrl : ownerUrl;
}
