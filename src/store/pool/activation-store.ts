import type { AuditedChange } from '../../core/audit/record.ts';
import { type Activation, isActive } from '../../core/pool/activation.ts';
import type { PoolState } from '../../core/pool/pool-gate.ts';
import { POOL_CHANGED } from './pool-store.ts';
import type { NetworkRules } from '../../core/pool/network-rules.ts';
import { admitting } from '../../network/network-rules.ts';
import { changing, reading, type StoreContext } from '../database.ts';

export async function readPoolState(context: StoreContext): Promise<PoolState> {
  return reading(context, async (db) => {
    const row = await db
      .selectFrom('pool')
      .select(['activation', 'restoring_since', 'restores', 'deleted_at', 'network'])
      .where('id', '=', context.poolId)
      .executeTakeFirst();
    return {
      // After a full restore the pool of this id may be gone: nothing is served for it.
      isActive: row !== undefined && isActive(row.activation ?? undefined),
      isDeleted: row !== undefined && row.deleted_at !== null,
      // A process from before a restore serves nothing of what it remembers: a fresh one takes its place.
      isRestoring:
        row !== undefined &&
        (row.restoring_since !== null || (row.restores ?? 0) !== context.restores),
      admits: admitting(row?.network as NetworkRules | null | undefined),
    };
  });
}

/** From where the pool's data plane is used from now on. */
export async function setNetworkRules(
  context: StoreContext,
  rules: NetworkRules,
  change: AuditedChange,
): Promise<void> {
  await changing(context, change, POOL_CHANGED, async (trx) => {
    await trx
      .updateTable('pool')
      .set({ network: JSON.stringify(rules) })
      .where('id', '=', context.poolId)
      .execute();
    return true;
  });
}

/**
 * A pool that nothing has activated yet, and one from before there were security domains, may be used from now on.
 * @returns false for one that has been activated before
 */
export async function activatePool(
  context: StoreContext,
  by: Exclude<Activation, 'none'>,
  change: AuditedChange,
): Promise<boolean> {
  const isDone = await changing(context, change, POOL_CHANGED, async (trx) => {
    const { numUpdatedRows } = await trx
      .updateTable('pool')
      .set({ activation: by })
      .where('id', '=', context.poolId)
      .where((where) =>
        where.or([where('activation', 'is', null), where('activation', '=', 'none')]),
      )
      .executeTakeFirstOrThrow();
    return numUpdatedRows === 0n ? undefined : true;
  });
  return isDone === true;
}

/** A pool from before there were security domains that holds no key begins as a new one does. */
export async function settleActivation(
  context: StoreContext,
  change: AuditedChange,
): Promise<void> {
  const { poolId } = context;
  const found = await reading(context, (db) =>
    db.selectFrom('pool').select('activation').where('id', '=', poolId).executeTakeFirst(),
  );
  if (found?.activation !== null) return;
  await changing(context, change, POOL_CHANGED, async (trx) => {
    const { numUpdatedRows } = await trx
      .updateTable('pool')
      .set({ activation: 'none' })
      .where('id', '=', poolId)
      .where('activation', 'is', null)
      .where((where) =>
        where.not(
          where.exists(where.selectFrom('key').select('name_key').where('pool_id', '=', poolId)),
        ),
      )
      .executeTakeFirstOrThrow();
    return numUpdatedRows === 0n ? undefined : true;
  });
}
