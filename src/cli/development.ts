import type { Logger } from 'pino';
import type { Config, Secrets } from '../config/config.ts';
import {
  type AdministratorFile,
  readAdministrator,
  writeAdministrator,
} from '../setup/administrator-file.ts';
import { type DataFolder, openDataFolder } from '../setup/data-folder.ts';
import { prepareDevelopmentCertificate } from '../setup/trust/development-ca.ts';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../setup/postgres/embedded-postgres.ts';
import { databaseIsLost, requireWhole } from '../setup/earlier-start.ts';
import { SetupError } from '../setup/setup-error.ts';
import { prepareSoftHsmToken } from '../setup/softhsm/token.ts';
import { readCertificate, readPin } from '../config/setting-files.ts';
import { withoutUndefined } from '../core/without-undefined.ts';
import { requireOwnSessions } from '../store/feed-connection.ts';
import { hasPool, migrate } from '../store/migrate.ts';
import type { WorkerSettings } from '../process/worker-protocol.ts';

/** What a start needs of its surroundings, whoever made them. */
export interface Surroundings {
  readonly settings: Pick<WorkerSettings, 'databaseUrl' | 'auditDatabaseUrl' | 'pkcs11' | 'tls'>;
  /** For the worker processes: what the PKCS#11 module reads itself. */
  readonly environment: Readonly<Record<string, string>>;
  /** Where the start was given everything there is neither a development CA nor an administrator of its own. */
  readonly development?: {
    readonly folder: DataFolder;
    readonly caFile?: string;
    readonly administrator: AdministratorFile;
  };
  close(): Promise<void>;
}

/**
 * Sets up what the settings don't give, in the data folder: a certificate, a SoftHSM2 token, a PostgreSQL; then the
 * schema, the pool and a first administrator. Whatever is there already is used again.
 * @param setEnvironment sets a variable of this process, for the PKCS#11 library that it loads
 */
export async function prepareDevelopment(
  config: Config,
  secrets: Secrets,
  log: Logger,
  setEnvironment: (name: string, value: string) => void,
): Promise<Surroundings> {
  const folder = await openDataFolder(config.dataFolder);
  let postgres: EmbeddedPostgres | undefined;
  try {
    await requireWhole(folder.path, {
      token: config.pkcs11 === undefined,
      postgres: secrets.databaseUrl === undefined,
    });
    const known = await readAdministrator(folder.path);
    if (known !== undefined && secrets.databaseUrl !== undefined)
      await requirePool(secrets.databaseUrl, config.pool, folder.path);
    const certificate =
      config.tls === undefined
        ? await prepareDevelopmentCertificate(folder.path, { domain: config.domain })
        : undefined;
    const token = config.pkcs11 === undefined ? await prepareSoftHsmToken(folder.path) : undefined;
    const environment: Record<string, string> =
      token === undefined ? {} : { SOFTHSM2_CONF: token.configFile };
    for (const [name, value] of Object.entries(environment)) setEnvironment(name, value);
    const pkcs11 =
      config.pkcs11 === undefined
        ? {
            module: token?.module ?? '',
            tokenLabel: token?.tokenLabel ?? '',
            pin: token?.pin ?? '',
          }
        : { ...config.pkcs11, pin: await readPin(secrets) };
    postgres =
      secrets.databaseUrl === undefined ? await startEmbeddedPostgres(folder.path, log) : undefined;
    if (known !== undefined && postgres !== undefined)
      await requirePool(postgres.ownerUrl, config.pool, folder.path);
    if (secrets.databaseUrl !== undefined) await requireOwnSessions(secrets.databaseUrl);
    // One that a crash has ended a moment ago is not there any more.
    await migrate(postgres?.ownerUrl ?? secrets.databaseUrl ?? '', {
      despiteReplicas: postgres !== undefined,
    });
    const databaseUrl = postgres?.serviceUrl ?? secrets.databaseUrl ?? '';
    // Last, since it needs most of the service, which a start that fails before needs not load.
    const { bootstrap } = await import('../compose/bootstrap.ts');
    const { administrator: made } = await bootstrap(
      {
        domain: config.domain,
        pool: config.pool,
        databaseUrl,
        pkcs11,
        keeping: config.keeping,
        softDeleteDays: config.softDeleteDays,
        purgeProtection: config.purgeProtection,
        administrator: known === undefined ? 'developer' : 'none',
        activation: 'embedded',
      },
      log,
    );
    if (made !== undefined) await writeAdministrator(folder.path, made);
    const administrator = known ?? made;
    if (administrator === undefined) throw new Error('the bootstrap made no administrator');
    return {
      settings: {
        databaseUrl,
        ...withoutUndefined({ auditDatabaseUrl: secrets.auditDatabaseUrl }),
        pkcs11,
        tls: certificate ?? (await readCertificate(config)),
      },
      environment,
      development: {
        folder,
        administrator,
        ...(certificate !== undefined && { caFile: certificate.caFile }),
      },
      close: async () => {
        await postgres?.stop();
        await folder.release();
      },
    };
  } catch (error) {
    await postgres?.stop();
    await folder.release();
    throw error;
  }
}

/** The administrator that is known was made in a pool: it has to be there. */
async function requirePool(url: string, pool: string, folder: string): Promise<void> {
  if (await hasPool(url, pool)) return;
  throw new SetupError(databaseIsLost(folder, `it has no pool "${pool}" (STRONGROOM_POOL)`));
}
