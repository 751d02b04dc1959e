import { ServiceError } from '../../../core/errors.ts';
import type { SecurityDomainStore } from '../../../core/recovery/security-domain/ports.ts';
import { changing, reading, type StoreContext } from '../../database.ts';
import { POOL_CHANGED } from '../../pool/activation-store.ts';
import { insertBackupKeys } from '../root-keys/backup-key-store.ts';
import { makeGenerationCurrent } from '../root-keys/current-generation.ts';

/** What was given to custodians. */
export function createDownloadStore(
  context: StoreContext,
): Pick<SecurityDomainStore, 'findDownload' | 'recordDownload'> {
  const { poolId } = context;
  return {
    findDownload: () =>
      reading(context, async (db) => {
        const row = await db
          .selectFrom('security_domain_download')
          .selectAll()
          .where('pool_id', '=', poolId)
          .orderBy('generation', 'desc')
          .limit(1)
          .executeTakeFirst();
        return (
          row && {
            generation: row.generation,
            madeAt: row.made_at,
            required: row.required,
            custodians: row.custodians,
          }
        );
      }),

    async recordDownload({ backupKeys, ...exported }, { required, custodians }, change) {
      const { after, generation, rootCheck } = exported;
      const topics = () => [{ topic: 'root-keys', id: String(generation) } as const, POOL_CHANGED];
      await changing(context, change, topics, async (trx) => {
        const opensBackups = backupKeys === undefined;
        const { endorsement } = exported;
        const made = { after, number: generation, rootCheck, opensBackups, endorsement };
        const isCurrent = await makeGenerationCurrent(trx, poolId, made);
        if (!isCurrent)
          throw new ServiceError('Conflict', 'Another process has made new root keys meanwhile.');
        if (backupKeys !== undefined) await insertBackupKeys(trx, backupKeys);
        await trx
          .insertInto('security_domain_download')
          .values({ pool_id: poolId, generation, required, custodians: [...custodians] })
          .execute();
        await trx
          .updateTable('pool')
          .set({ activation: 'domain' })
          .where('id', '=', poolId)
          .execute();
        return true;
      });
    },
  };
}
