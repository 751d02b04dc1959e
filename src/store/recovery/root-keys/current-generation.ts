import type { RawBuilder } from 'kysely';
import type { Trx } from '../../database.ts';

/**
 * Records a generation of root keys, and that new keys are sealed by it from now on.
 * @param isKept whether an older generation stays in the HSM at the end
 * @returns false where another one has become current meanwhile
 */
export async function makeGenerationCurrent(
  trx: Trx,
  poolId: string,
  generation: {
    /** The one that is current until now. */
    readonly after: number;
    readonly number: number;
    readonly rootCheck: Uint8Array;
    readonly opensBackups: boolean;
  },
  isKept: RawBuilder<boolean>,
): Promise<boolean> {
  const { after, number, opensBackups } = generation;
  const rootCheck = Buffer.from(generation.rootCheck);
  const pool = await trx
    .selectFrom('pool')
    .select('root_generation')
    .where('id', '=', poolId)
    // Not `for update`: a record of the audit log that is being written refers to this row, and the lock of its chain, which
    // this transaction takes at its end, may be held for it. Postgres sees only half of that circle.
    .forNoKeyUpdate()
    .executeTakeFirstOrThrow();
  if (pool.root_generation !== after) return false;
  await trx
    .updateTable('root_generation')
    .set({ is_kept: isKept })
    .where('pool_id', '=', poolId)
    .execute();
  await trx
    .insertInto('root_generation')
    .values({
      pool_id: poolId,
      number,
      root_check: rootCheck,
      is_kept: false,
      opens_backups: opensBackups,
    })
    .execute();
  await trx
    .updateTable('pool')
    .set({ root_generation: number, root_check: rootCheck })
    .where('id', '=', poolId)
    .execute();
  return true;
}
