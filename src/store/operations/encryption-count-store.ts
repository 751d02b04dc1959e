import { sql } from 'kysely';
import type { KeyVersionId } from '../../core/keys/key.ts';
import type { EncryptionCountStore } from '../../core/operations/ports.ts';
import { reading, type StoreContext, type Trx } from '../database.ts';

export function createEncryptionCountStore(context: StoreContext): EncryptionCountStore {
  const { poolId } = context;
  return {
    reserveEncryptions: (version, wanted, limit) =>
      reading(context, (db) =>
        db.transaction().execute(async (trx) => {
          await raiseEncryptionCount(trx, poolId, version, 0);
          const { reserved } = await trx
            .selectFrom('gcm_use')
            .select('reserved')
            .where('pool_id', '=', poolId)
            .where('version', '=', version)
            .forUpdate()
            .executeTakeFirstOrThrow();
          const granted = Math.max(0, Math.min(wanted, limit - Number(reserved)));
          const used = Number(reserved) + granted;
          await raiseEncryptionCount(trx, poolId, version, used);
          return { granted, used };
        }),
      ),
  };
}

/** Never lowers it: what a backup says of a key may be long out of date. */
export async function raiseEncryptionCount(
  trx: Trx,
  poolId: string,
  version: KeyVersionId,
  count: number,
): Promise<void> {
  await trx
    .insertInto('gcm_use')
    .values({ pool_id: poolId, version, reserved: count })
    .onConflict((conflict) =>
      conflict.columns(['pool_id', 'version']).doUpdateSet({
        reserved: sql`greatest(gcm_use.reserved, excluded.reserved)`,
      }),
    )
    .execute();
}
