import type { Kysely } from 'kysely';
import { ServiceError } from '../../../core/errors.ts';
import { unpackBytes } from '../../../core/keys/packed-bytes.ts';
import type { SecurityDomainStore } from '../../../core/recovery/security-domain/ports.ts';
import { changing, reading, type StoreContext } from '../../database.ts';
import type { Tables } from '../../tables.ts';
import { toBackupMaterial } from '../root-keys/backup-key-store.ts';

/** Another pool's domain, whose backups can be restored here. */
export function createUploadStore(
  context: StoreContext,
): Pick<SecurityDomainStore, 'findUpload' | 'requireNoKeys' | 'recordUpload'> {
  const { poolId } = context;
  return {
    findUpload: () =>
      reading(context, async (db) => {
        const domain = await db
          .selectFrom('uploaded_domain')
          .selectAll()
          .where('pool_id', '=', poolId)
          .executeTakeFirst();
        if (domain === undefined) return undefined;
        const { of_pool_id, generation } = domain;
        const pairs = await db
          .selectFrom('uploaded_backup_keys')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('of_pool_id', '=', of_pool_id)
          .orderBy('ordinal')
          .execute();
        return {
          poolId: of_pool_id,
          generation,
          rootCheck: domain.root_check,
          ...(domain.proof !== null && { proof: domain.proof }),
          backupKeys: pairs.map((row) =>
            toBackupMaterial({ ...row, pool_id: of_pool_id, root_generation: generation }),
          ),
        };
      }),

    requireNoKeys: () => reading(context, (db) => requireNoKeys(db, poolId)),

    async recordUpload(domain, change) {
      await changing(context, change, { topic: 'root-keys', id: '*' }, async (trx) => {
        await requireNoKeys(trx, poolId);
        await trx.deleteFrom('uploaded_domain').where('pool_id', '=', poolId).execute();
        await trx
          .insertInto('uploaded_domain')
          .values({
            pool_id: poolId,
            of_pool_id: domain.poolId,
            generation: domain.generation,
            root_check: Buffer.from(domain.rootCheck),
            proof: domain.proof === undefined ? null : Buffer.from(domain.proof),
          })
          .execute();
        for (const [ordinal, { identity, sealed }] of domain.backupKeys.entries()) {
          if (sealed.macBlob === undefined) throw new TypeError('the keys of backups are two');
          await trx
            .insertInto('uploaded_backup_keys')
            .values({
              pool_id: poolId,
              of_pool_id: domain.poolId,
              version: identity.version,
              ordinal,
              blob: unpackBytes(sealed.blob),
              mac_blob: unpackBytes(sealed.macBlob),
              seal: unpackBytes(sealed.seal),
            })
            .execute();
        }
        await trx.deleteFrom('transfer_key').where('pool_id', '=', poolId).execute();
        return true;
      });
    },
  };
}

/** @throws ServiceError Conflict */
async function requireNoKeys(db: Kysely<Tables>, poolId: string): Promise<void> {
  const key = await db
    .selectFrom('key')
    .select('name_key')
    .where('pool_id', '=', poolId)
    .limit(1)
    .executeTakeFirst();
  if (key !== undefined)
    throw new ServiceError(
      'Conflict',
      "This pool holds keys (deleted ones count until they are purged): another pool's security domain is for a pool that holds none.",
    );
}
