import type { KeyName } from '../../core/keys/key.ts';
import type { Trx } from '../database.ts';
import { currentVersions } from './key-reader.ts';

/** The row of a key is locked first in every change, so that changes of one key take turns. */
export async function lockKey(trx: Trx, poolId: string, name: KeyName) {
  return trx
    .selectFrom('key')
    .selectAll()
    .where('pool_id', '=', poolId)
    .where('name_key', '=', name.toLowerCase())
    .forUpdate()
    .executeTakeFirst();
}

/** The newest enabled version answers for the bare name, or the newest where none is enabled. */
export async function chooseCurrent(trx: Trx, poolId: string, name: KeyName): Promise<void> {
  const chosen = await versions(trx, poolId, name)
    .orderBy('enabled', 'desc')
    .orderBy('ordinal', 'desc')
    .executeTakeFirstOrThrow();
  await trx
    .updateTable('key')
    .set({ current_version: chosen.version })
    .where('pool_id', '=', poolId)
    .where('name_key', '=', name.toLowerCase())
    .execute();
}

export async function newestVersion(
  trx: Trx,
  poolId: string,
  name: KeyName,
): Promise<string | undefined> {
  const row = await versions(trx, poolId, name).orderBy('ordinal', 'desc').executeTakeFirst();
  return row?.version;
}

/** The version that answers for a key now, deleted or not, with the dates of its deletion. */
export async function answeringVersion(trx: Trx, poolId: string, name: KeyName) {
  return currentVersions(trx, poolId)
    .where('key.name_key', '=', name.toLowerCase())
    .executeTakeFirstOrThrow();
}

export function isDeleted(key: { deleted_at: string | null } | undefined): boolean {
  return key !== undefined && key.deleted_at !== null;
}

function versions(trx: Trx, poolId: string, name: KeyName) {
  return trx
    .selectFrom('key_version')
    .select('version')
    .where('pool_id', '=', poolId)
    .where('name_key', '=', name.toLowerCase())
    .limit(1);
}
