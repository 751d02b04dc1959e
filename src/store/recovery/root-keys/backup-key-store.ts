import type { KeyMaterial, KeyVersionId } from '../../../core/keys/key.ts';
import { packBytes, unpackBytes } from '../../../core/keys/packed-bytes.ts';
import { BACKUP_KEYS } from '../../../core/recovery/root-keys/backup-keys.ts';
import type { BackupKeyStore } from '../../../core/recovery/root-keys/ports.ts';
import { changing, reading, type StoreContext, type Trx } from '../../database.ts';
import type { BackupKeysRow } from '../../tables.ts';

export function createBackupKeyStore(context: StoreContext): BackupKeyStore {
  const { poolId } = context;
  return {
    list: () =>
      reading(context, async (db) => {
        const rows = await db
          .selectFrom('backup_keys')
          .selectAll()
          .where('pool_id', '=', poolId)
          .orderBy('made_at')
          .orderBy('version')
          .execute();
        return rows.map(toBackupMaterial);
      }),

    async insert(material, change) {
      await changing(context, change, { topic: 'root-keys', id: '*' }, async (trx) => {
        await insertBackupKeys(trx, material);
        return true;
      });
    },
  };
}

export async function insertBackupKeys(trx: Trx, { identity, sealed }: KeyMaterial): Promise<void> {
  const { rootGeneration, blob, macBlob, seal } = sealed;
  if (macBlob === undefined) throw new TypeError('backup keys are a pair');
  await trx
    .insertInto('backup_keys')
    .values({
      pool_id: identity.pool,
      version: identity.version,
      root_generation: rootGeneration,
      blob: unpackBytes(blob),
      mac_blob: unpackBytes(macBlob),
      seal: unpackBytes(seal),
    })
    .execute();
}

/** Name and kind aren't in the row: the seal covers them, so no other key can stand in its place. */
export function toBackupMaterial(row: Omit<BackupKeysRow, 'made_at'>): KeyMaterial {
  return {
    identity: {
      ...BACKUP_KEYS.identity,
      name: BACKUP_KEYS.identity.name,
      pool: row.pool_id,
      version: row.version as KeyVersionId,
    },
    spec: BACKUP_KEYS.spec,
    sealed: {
      rootGeneration: row.root_generation,
      blob: packBytes(row.blob),
      macBlob: packBytes(row.mac_blob),
      seal: packBytes(row.seal),
    },
  };
}
