import { sql } from 'kysely';
import { ServiceError } from '../../core/errors.ts';
import type { ManagedHsmStore } from '../../core/resources/ports.ts';
import { decodeCursor, pageOf } from '../cursors.ts';
import { changing, reading, type StoreContext } from '../database.ts';
import { isDuplicate } from '../errors.ts';
import { applyChange, lockManagedHsms } from './locked-managed-hsm.ts';
import { toManagedHsm } from './managed-hsm-rows.ts';

const NOBODY = () => [];
const NAME_KEY = /^[a-z0-9-]+$/;

type Managing = Pick<
  ManagedHsmStore,
  'listManagedHsms' | 'findManagedHsm' | 'changeManagedHsm' | 'purgeExpired'
>;

/** Managed HSMs of a tenant: `context` is that of its home pool. */
export function createManagedHsmStore(context: StoreContext): Managing {
  const { poolId } = context;

  return {
    listManagedHsms: ({ subscriptionId, groupName, isDeleted }, { after, limit }) =>
      reading(context, async (db) => {
        const rows = await db
          .selectFrom('managed_hsm')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('subscription_id', '=', subscriptionId)
          .where('deleted_at', isDeleted ? 'is not' : 'is', null)
          .$if(groupName !== undefined, (query) =>
            query.where('group_key', '=', groupName?.toLowerCase() ?? ''),
          )
          .$if(after !== undefined, (query) =>
            query.where('name_key', '>', decodeCursor(after ?? '', NAME_KEY)),
          )
          .orderBy('name_key')
          .limit(limit + 1)
          .execute();
        return pageOf(rows, limit, toManagedHsm, (row) => row.name_key);
      }),

    findManagedHsm: (name) =>
      reading(context, async (db) => {
        const row = await db
          .selectFrom('managed_hsm')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('name_key', '=', name.toLowerCase())
          .executeTakeFirst();
        return row && toManagedHsm(row);
      }),

    async changeManagedHsm({ subscriptionId, groupName, name }, decide, change) {
      try {
        const changed = await changing(context, change, NOBODY, async (trx) => {
          const group = await trx
            .selectFrom('resource_group')
            .select('name')
            .where('pool_id', '=', poolId)
            .where('subscription_id', '=', subscriptionId)
            .where('name_key', '=', groupName.toLowerCase())
            .forShare()
            .executeTakeFirst();
          const [present] = await lockManagedHsms(trx, poolId, (query) =>
            query.where('name_key', '=', name.toLowerCase()),
          );
          const decided = decide(present, group?.name);
          const operationId = await applyChange(trx, poolId, present?.hsm, decided);
          return { hsm: decided.hsm, operationId };
        });
        if (changed === undefined) throw new TypeError('a change that was decided was made');
        return changed;
      } catch (error) {
        if (!isDuplicate(error)) throw error;
        throw new ServiceError(
          'Conflict',
          `A Managed HSM ${name} is being made by another request.`,
          {
            cause: error,
          },
        );
      }
    },

    purgeExpired: (now, change) =>
      changing(context, change, NOBODY, async (trx) => {
        const [expired] = await lockManagedHsms(trx, poolId, (query) =>
          query
            .where('purge_at', '<=', now)
            .where((eb) =>
              eb.not(
                eb.exists(
                  eb
                    .selectFrom('managed_hsm_operation as o')
                    .select(sql`1`.as('one'))
                    .whereRef('o.pool_id', '=', 'managed_hsm.pool_id')
                    .whereRef('o.name_key', '=', 'managed_hsm.name_key')
                    .where('o.status', '=', 'running'),
                ),
              ),
            )
            .limit(1),
        );
        if (expired === undefined) return undefined;
        const { hsm } = expired;
        await applyChange(trx, poolId, hsm, {
          hsm: { ...hsm, state: 'Deleting' },
          begins: 'purge',
        });
        return hsm;
      }),
  };
}
