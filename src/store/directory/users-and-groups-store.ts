import type { UsersAndGroupsStore } from '../../core/directory/ports.ts';
import { keepingAdministrators } from '../access/administrators.ts';
import { readHoldings } from '../access/held-policy.ts';
import { changing, type StoreContext } from '../database.ts';
import { createGroupStore } from './group-store.ts';
import { createMembershipStore } from './membership-store.ts';
import { createUserStore } from './user-store.ts';

export function createUsersAndGroupsStore(context: StoreContext): UsersAndGroupsStore {
  const { poolId } = context;

  return {
    ...createUserStore(context),
    ...createGroupStore(context),
    ...createMembershipStore(context),

    async updateServicePrincipal(id, { displayName, enabled }, change) {
      const updated = await changing(context, change, { topic: 'directory', id }, (trx) =>
        keepingAdministrators(trx, context, change.author, async () => {
          const present = await trx
            .selectFrom('service_principal')
            .select(['enabled', 'display_name'])
            .where('pool_id', '=', poolId)
            .where('id', '=', id)
            .forUpdate()
            .executeTakeFirst();
          if (present === undefined) return undefined;
          change.note({
            change: {
              before: {
                id,
                ...(displayName !== undefined && { displayName: present.display_name }),
                ...(enabled !== undefined && { enabled: present.enabled }),
              },
            },
          });
          if (enabled !== undefined && present.enabled !== enabled) {
            const held = await readHoldings(trx, poolId, [id]);
            if (enabled) change.author.requireMayEmpower(held);
            else change.author.requireMayDisempower(held, id);
          }
          return trx
            .updateTable('service_principal')
            .set({
              ...(displayName !== undefined && { display_name: displayName }),
              ...(enabled !== undefined && { enabled }),
            })
            .where('pool_id', '=', poolId)
            .where('id', '=', id)
            .returning('id')
            .executeTakeFirst();
        }),
      );
      return updated !== undefined;
    },
  };
}
