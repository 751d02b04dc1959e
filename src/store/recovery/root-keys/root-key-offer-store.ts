import { sql } from 'kysely';
import type { RootKeyOfferStore } from '../../../core/recovery/root-keys/root-key-offer.ts';
import { reading, type StoreContext } from '../../database.ts';

/** Longer than replicas are waited for. */
const ASKED_FOR_SECONDS = 60;

export function createRootKeyOfferStore(
  context: Pick<StoreContext, 'db' | 'poolId'>,
): RootKeyOfferStore {
  const { poolId } = context;
  return {
    find: () =>
      reading(context, async (db) => {
        const row = await db
          .selectFrom('root_key_offer')
          .select(['generation', 'root_check'])
          .where('pool_id', '=', poolId)
          // Nobody waits for an answer to one that a command has left when it was killed.
          .where('offered_at', '>', sql<Date>`now() - make_interval(secs => ${ASKED_FOR_SECONDS})`)
          .executeTakeFirst();
        return row && { generation: row.generation, rootCheck: row.root_check };
      }),

    put: ({ generation, rootCheck }) =>
      reading(context, async (db) => {
        const said = {
          generation,
          root_check: Buffer.from(rootCheck),
          offered_at: sql<Date>`now()`,
        };
        await db
          .insertInto('root_key_offer')
          .values({ pool_id: poolId, ...said })
          .onConflict((on) => on.column('pool_id').doUpdateSet(said))
          .execute();
      }),

    remove: () =>
      reading(context, async (db) => {
        await db.deleteFrom('root_key_offer').where('pool_id', '=', poolId).execute();
      }),
  };
}
