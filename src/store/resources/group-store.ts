import type { ResourceGroup } from '../../core/resources/managed-hsm.ts';
import type { GroupStore } from '../../core/resources/ports.ts';
import type { ResourceTags } from '../../core/resources/tags.ts';
import { decodeCursor, pageOf } from '../cursors.ts';
import { changing, reading, type StoreContext } from '../database.ts';
import { applyChange, lockManagedHsms } from './locked-managed-hsm.ts';

const NOBODY = () => [];
const NAME_KEY = /^[^\0]+$/;

/** Subscriptions and resource groups of a tenant: `context` is that of its home pool. */
export function createGroupStore(context: StoreContext): GroupStore {
  const { poolId } = context;

  const groups = (db: StoreContext['db'], subscriptionId: string) =>
    db
      .selectFrom('resource_group')
      .selectAll()
      .where('pool_id', '=', poolId)
      .where('subscription_id', '=', subscriptionId);

  return {
    listSubscriptions: () =>
      reading(context, async (db) => {
        const rows = await db
          .selectFrom('subscription')
          .selectAll()
          .where('pool_id', '=', poolId)
          .orderBy('display_name')
          .execute();
        return rows.map((row) => ({ id: row.id, displayName: row.display_name }));
      }),

    async insertSubscription({ id, displayName }, change) {
      await changing(context, change, NOBODY, async (trx) => {
        await trx
          .insertInto('subscription')
          .values({ pool_id: poolId, id, display_name: displayName })
          .execute();
        return true;
      });
    },

    listGroups: (subscriptionId, { after, limit }) =>
      reading(context, async (db) => {
        const rows = await groups(db, subscriptionId)
          .$if(after !== undefined, (query) =>
            query.where('name_key', '>', decodeCursor(after ?? '', NAME_KEY)),
          )
          .orderBy('name_key')
          .limit(limit + 1)
          .execute();
        return pageOf(rows, limit, toGroup, (row) => row.name_key);
      }),

    findGroup: (subscriptionId, name) =>
      reading(context, async (db) => {
        const row = await groups(db, subscriptionId)
          .where('name_key', '=', name.toLowerCase())
          .executeTakeFirst();
        return row && toGroup(row);
      }),

    async putGroup(subscriptionId, name, decide, change) {
      const put = await changing(context, change, NOBODY, async (trx) => {
        const present = await groups(trx, subscriptionId)
          .where('name_key', '=', name.toLowerCase())
          .forUpdate()
          .executeTakeFirst();
        const group = decide(present && toGroup(present));
        const columns = {
          name: group.name,
          location: group.location,
          tags: JSON.stringify(group.tags),
        };
        await trx
          .insertInto('resource_group')
          .values({
            pool_id: poolId,
            subscription_id: subscriptionId,
            name_key: name.toLowerCase(),
            ...columns,
          })
          .onConflict((conflict) =>
            conflict.columns(['pool_id', 'subscription_id', 'name_key']).doUpdateSet(columns),
          )
          .execute();
        return group;
      });
      if (put === undefined) throw new TypeError('a group that was put is there');
      return put;
    },

    async deleteGroup(subscriptionId, name, decide, change) {
      const deleted = await changing(context, change, NOBODY, async (trx) => {
        const { numDeletedRows } = await trx
          .deleteFrom('resource_group')
          .where('pool_id', '=', poolId)
          .where('subscription_id', '=', subscriptionId)
          .where('name_key', '=', name.toLowerCase())
          .executeTakeFirstOrThrow();
        if (numDeletedRows === 0n) return undefined;
        const inIt = await lockManagedHsms(trx, poolId, (query) =>
          query
            .where('subscription_id', '=', subscriptionId)
            .where('group_key', '=', name.toLowerCase())
            .where('deleted_at', 'is', null),
        );
        for (const present of inIt) await applyChange(trx, poolId, present.hsm, decide(present));
        return true;
      });
      return deleted === true;
    },
  };
}

function toGroup(row: {
  readonly subscription_id: string;
  readonly name: string;
  readonly location: string;
  readonly tags: unknown;
}): ResourceGroup {
  return {
    subscriptionId: row.subscription_id,
    name: row.name,
    location: row.location,
    tags: row.tags as ResourceTags,
  };
}
