import { type Selectable, sql } from 'kysely';
import type { ErrorCode } from '../../core/errors.ts';
import type { ManagedHsmOperation, Outcome } from '../../core/resources/operation.ts';
import type { ManagedHsmStore } from '../../core/resources/ports.ts';
import { UUID } from '../cursors.ts';
import { changing, reading, type StoreContext } from '../database.ts';
import type { Tables } from '../tables.ts';
import { applyChange } from './locked-managed-hsm.ts';
import { toManagedHsm } from './managed-hsm-rows.ts';

type Operating = Pick<
  ManagedHsmStore,
  'findOperation' | 'claimOperation' | 'keepClaim' | 'endOperation'
>;

/** What is done to the pools behind Managed HSMs: `context` is that of the tenant's home pool. */
export function createOperationStore(context: StoreContext): Operating {
  const { poolId } = context;
  const until = (claimSeconds: number) => sql<Date>`now() + make_interval(secs => ${claimSeconds})`;

  return {
    findOperation: (id) =>
      reading(context, async (db) => {
        if (!UUID.test(id)) return undefined;
        const row = await db
          .selectFrom('managed_hsm_operation')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('id', '=', id)
          .executeTakeFirst();
        return row && toOperation(row);
      }),

    claimOperation: (claimSeconds) =>
      reading(context, async (db) => {
        const row = await db
          .updateTable('managed_hsm_operation')
          .set({ claimed_until: until(claimSeconds) })
          .where('pool_id', '=', poolId)
          .where('id', '=', (of) =>
            of
              .selectFrom('managed_hsm_operation')
              .select('id')
              .where('pool_id', '=', poolId)
              .where('status', '=', 'running')
              .where('claimed_until', '<=', sql<Date>`now()`)
              .orderBy('started_at')
              .limit(1)
              .forUpdate()
              .skipLocked(),
          )
          .returningAll()
          .executeTakeFirst();
        if (row === undefined) return undefined;
        const hsm = await db
          .selectFrom('managed_hsm')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('name_key', '=', row.name_key)
          .executeTakeFirstOrThrow();
        return { operation: toOperation(row), hsm: toManagedHsm(hsm) };
      }),

    async keepClaim(operationId, claimSeconds) {
      await reading(context, (db) =>
        db
          .updateTable('managed_hsm_operation')
          .set({ claimed_until: until(claimSeconds) })
          .where('pool_id', '=', poolId)
          .where('id', '=', operationId)
          .where('status', '=', 'running')
          .execute(),
      );
    },

    async endOperation({ id }, present, outcome, hsm, change) {
      await changing(
        context,
        change,
        () => [],
        async (trx) => {
          const { numUpdatedRows } = await trx
            .updateTable('managed_hsm_operation')
            .set({
              ended_at: sql<Date>`now()`,
              ...(outcome === 'succeeded'
                ? { status: 'succeeded' }
                : {
                    status: 'failed',
                    error_code: outcome.code,
                    error_message: outcome.message,
                  }),
            })
            .where('pool_id', '=', poolId)
            .where('id', '=', id)
            .where('status', '=', 'running')
            .executeTakeFirstOrThrow();
          // Another process may have ended it, which had taken it up as one that was left.
          if (numUpdatedRows === 0n) return undefined;
          await applyChange(trx, poolId, present, { hsm });
          return true;
        },
      );
    },
  };
}

function toOperation(row: Selectable<Tables['managed_hsm_operation']>): ManagedHsmOperation {
  return {
    id: row.id,
    kind: row.kind,
    subscriptionId: row.subscription_id,
    groupName: row.group_name,
    name: row.name,
    outcome: outcomeOf(row),
  };
}

function outcomeOf({
  status,
  error_code: code,
  error_message: message,
}: Selectable<Tables['managed_hsm_operation']>): Outcome | undefined {
  if (status === 'running') return undefined;
  if (status === 'succeeded') return 'succeeded';
  return { code: code as ErrorCode, message: message ?? '' };
}
