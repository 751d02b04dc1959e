import { sql } from 'kysely';
import type { Endorsement, Voucher } from '../../../core/recovery/root-keys/ports.ts';
import type { Trx } from '../../database.ts';

/**
 * Records a generation of root keys, and that new keys are sealed by it from now on.
 * All older ones stay in the HSM that it doesn't retire.
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
    readonly endorsement: Endorsement;
  },
): Promise<boolean> {
  const { after, number, opensBackups, endorsement } = generation;
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
    .set({ is_kept: isKept(endorsement) })
    .where('pool_id', '=', poolId)
    .execute();
  // These root keys were made just now: whatever names their number already is none of the service's.
  await trx
    .deleteFrom('root_generation')
    .where('pool_id', '=', poolId)
    .where('number', '=', number)
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
  await writeEndorsement(trx, poolId, number, endorsement);
  return true;
}

/** In the place of what was said of it before. */
export async function writeEndorsement(
  trx: Trx,
  poolId: string,
  number: number,
  { vouchers, retirement: { retires, proof } }: Endorsement,
): Promise<void> {
  await trx
    .updateTable('root_generation')
    .set({ retires: [...retires], retirement: Buffer.from(proof) })
    .where('pool_id', '=', poolId)
    .where('number', '=', number)
    .execute();
  await putVouchers(trx, poolId, vouchers);
}

export async function putVouchers(
  trx: Trx,
  poolId: string,
  vouchers: readonly Voucher[],
): Promise<void> {
  for (const voucher of vouchers)
    await trx
      .insertInto('root_voucher')
      .values({
        pool_id: poolId,
        by_generation: voucher.by,
        generation: voucher.generation,
        proof: Buffer.from(voucher.proof),
      })
      .onConflict((conflict) =>
        conflict
          .columns(['pool_id', 'by_generation', 'generation'])
          .doUpdateSet({ proof: Buffer.from(voucher.proof) }),
      )
      .execute();
}

/** They are to be destroyed. */
export async function putRetired(
  trx: Trx,
  poolId: string,
  { number, proof }: { readonly number: number; readonly proof: Uint8Array },
): Promise<void> {
  await trx
    .insertInto('retired_root_generation')
    .values({ pool_id: poolId, number, proof: Buffer.from(proof) })
    // Nothing that was there before keeps it from its end: the service's own rows come here once.
    .onConflict((conflict) =>
      conflict.columns(['pool_id', 'number']).doUpdateSet({ destroyed_at: null }),
    )
    .execute();
}

/** Whether an older generation stays. */
export function isKept({ retirement: { retires } }: Pick<Endorsement, 'retirement'>) {
  return sql<boolean>`number <> all(${[...retires]}::integer[])`;
}
