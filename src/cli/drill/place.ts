import { readdir, rm } from 'node:fs/promises';
import type { Logger } from 'pino';
import { bootstrap } from '../../compose/bootstrap.ts';
import { OperatorError } from '../../core/operator-error.ts';
import { openDataFolder } from '../../setup/data-folder.ts';
import { startEmbeddedPostgres } from '../../setup/postgres/embedded-postgres.ts';
import { removeCluster } from '../../setup/postgres/place.ts';
import { prepareSoftHsmToken } from '../../setup/softhsm/token.ts';
import { migrate } from '../../store/migrate.ts';
import type { CliContext } from '../cli-context.ts';

/** A fresh pool with a token and a database of its own, and nothing else. */
export interface DrillPlace {
  /** Absolute. */
  readonly folder: string;
  readonly settings: {
    readonly databaseUrl: string;
    readonly pool: string;
    readonly pkcs11: { readonly module: string; readonly tokenLabel: string; readonly pin: string };
  };
  /** Removes it, wherever its parts are. */
  close(): Promise<void>;
}

/** Of the pool that the restored one replaces. */
const POOL = 'drill';
const SOFT_DELETE_DAYS = 90;

/** @throws OperatorError for a folder that holds something */
export async function makeDrillPlace(
  path: string,
  { setEnvironment }: Pick<CliContext, 'setEnvironment'>,
  log: Logger,
): Promise<DrillPlace> {
  if ((await readdir(path).catch(() => [])).length > 0)
    throw new OperatorError(`${path} (--folder) holds something already: name a new folder.`);
  const folder = await openDataFolder(path);
  const remove = async () => {
    await folder.release();
    // Nothing was in it before, and root's cluster is elsewhere.
    await removeCluster(folder.path);
    await rm(folder.path, { recursive: true, force: true });
  };
  try {
    const token = await prepareSoftHsmToken(folder.path);
    setEnvironment('SOFTHSM2_CONF', token.configFile);
    const postgres = await startEmbeddedPostgres(folder.path, log);
    const { module, tokenLabel, pin } = token;
    const pkcs11 = { module, tokenLabel, pin };
    const settings = { databaseUrl: postgres.serviceUrl, pool: POOL, pkcs11 };
    const close = async () => {
      await postgres.stop();
      await remove();
    };
    try {
      await migrate(postgres.ownerUrl);
      await bootstrap(
        {
          ...settings,
          domain: 'drill.invalid',
          keeping: 'sealed',
          softDeleteDays: SOFT_DELETE_DAYS,
          purgeProtection: false,
          administrator: 'none',
        },
        log,
      );
    } catch (error) {
      await close();
      throw error;
    }
    return { folder: folder.path, settings, close };
  } catch (error) {
    await remove();
    throw error;
  }
}
