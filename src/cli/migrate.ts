import { required } from '../config/config.ts';
import { migrate } from '../store/migrate.ts';
import type { CliContext } from './cli-context.ts';

/** `strongroom migrate` */
export async function migrateDatabase({ readSettings, print }: CliContext): Promise<void> {
  const { secrets } = readSettings();
  await migrate(required(secrets.databaseUrl, 'DATABASE_URL'));
  print('The schema is up to date.');
}
