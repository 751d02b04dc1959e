import { updateRolesOfAllPools } from '../compose/built-in-roles.ts';
import { required } from '../config/config.ts';
import { createLog } from '../observability/log.ts';
import { migrate } from '../store/migrate.ts';
import type { CliContext } from './cli-context.ts';

/** `strongroom migrate`: the schema, then the built-in roles of each pool, which a new version may define otherwise. */
export async function migrateDatabase({ readSettings, print }: CliContext): Promise<void> {
  const { config, secrets } = readSettings();
  const databaseUrl = required(secrets.databaseUrl, 'DATABASE_URL');
  await migrate(databaseUrl);
  print('The schema is up to date.');
  for (const name of await updateRolesOfAllPools({ databaseUrl }, createLog(config.logLevel)))
    print(`The pool "${name}" has the built-in roles of this version now.`);
}
