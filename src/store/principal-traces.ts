import { type Trx } from './database.ts';
import { requireAdministrator } from './role-store.ts';

/** What a user, group or service principal leaves behind when it goes: role assignments and memberships. @throws ServiceError LastAdministrator */
export async function removeTraces(trx: Trx, poolId: string, id: string): Promise<void> {
  await trx
    .deleteFrom('group_member')
    .where('pool_id', '=', poolId)
    .where('member_id', '=', id)
    .execute();
  const removed = await trx
    .deleteFrom('role_assignment')
    .where('pool_id', '=', poolId)
    .where('principal_id', '=', id)
    .returningAll()
    .execute();
  await requireAdministrator(trx, poolId, removed);
}
