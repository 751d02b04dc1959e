import type { SecurityDomainStore } from '../../../core/recovery/security-domain/ports.ts';
import { changing, reading, type StoreContext } from '../../database.ts';
import { insertPending } from '../root-keys/pending-generation-store.ts';

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

    async recordDownload(exported, { required, custodians }, change) {
      const { generation } = exported;
      const changed = { topic: 'root-keys', id: String(generation) } as const;
      await changing(context, change, changed, async (trx) => {
        await insertPending(trx, poolId, exported);
        await trx
          .insertInto('security_domain_download')
          .values({ pool_id: poolId, generation, required, custodians: [...custodians] })
          .execute();
        return true;
      });
    },
  };
}
