import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readAdministrator } from './administrator-file.ts';
import { hasCluster } from './postgres/place.ts';
import { SetupError } from './setup-error.ts';

export interface Wanted {
  /** Those that this start takes from the data folder, since no setting gives others. */
  readonly token: boolean;
  readonly postgres: boolean;
}

/**
 * What an earlier start has made belongs together: the database's keys open with the token's root keys alone, and the
 * administrator is one of the database. Where a part is gone, a new one in its place would only hide that.
 * @throws SetupError that says what is lost and what to do; nothing has been touched
 */
export async function requireWhole(folder: string, wanted: Wanted): Promise<void> {
  const cluster = await hasCluster(folder);
  const administrator = await readAdministrator(folder);
  const token = join(folder, 'tokens');
  const isStarted = cluster || administrator !== undefined;
  if (wanted.token && isStarted && !(await exists(token)))
    throw new SetupError(
      `The HSM token of this data folder is lost: ${token} is gone, and without its root keys no key of the database can be opened. Restore it with pkcs11-pin from a copy, or set PKCS11_MODULE to the HSM that holds them; to begin anew, use an empty folder as STRONGROOM_DATA_DIR.`,
    );
  if (wanted.postgres && administrator !== undefined && !cluster)
    throw new SetupError(databaseIsLost(folder, 'the PostgreSQL of this data folder is gone'));
}

/** @param what has become of the database in which the administrator was made */
export function databaseIsLost(folder: string, what: string): string {
  return `The database is lost: ${what}, but ${join(folder, 'administrator.json')} names an administrator in it. Restore the database, or give the one that it was as DATABASE_URL and STRONGROOM_POOL; to begin anew, use an empty folder as STRONGROOM_DATA_DIR.`;
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
