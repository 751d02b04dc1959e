import type { AuditedChange } from '../../core/audit/record.ts';
import type { AuthoredChange } from '../../core/access/authored-change.ts';
import { requireAdministrator } from '../access/administrators.ts';
import type { StoreContext, Trx } from '../database.ts';
import { toAssignment } from '../access/held-policy.ts';

/** Named in a record, at most; their number is given in any case. */
const NAMED = 100;

/**
 * What a user, group or service principal leaves behind when it goes: role assignments and memberships. They go too, and
 * the record of the change names them, with the `others` that go. @throws ServiceError LastAdministrator
 */
export async function removeReferences(
  trx: Trx,
  context: StoreContext,
  id: string,
  change: AuthoredChange,
  others: Readonly<Record<string, readonly unknown[]>> = {},
): Promise<void> {
  const { poolId } = context;
  const left = await trx
    .deleteFrom('group_member')
    .where('pool_id', '=', poolId)
    .where('member_id', '=', id)
    .returning('group_id')
    .execute();
  const removed = await trx
    .deleteFrom('role_assignment')
    .where('pool_id', '=', poolId)
    .where('principal_id', '=', id)
    .returningAll()
    .execute();
  await requireAdministrator(trx, context, change.author, removed);
  noteAlong(change, {
    ...others,
    groups: left.map((row) => row.group_id),
    roleAssignments: removed.map(toAssignment),
  });
}

/** What went along with what was removed. */
export function noteAlong(
  change: AuditedChange,
  lists: Readonly<Record<string, readonly unknown[]>>,
): void {
  const along = Object.entries(lists)
    .filter(([, items]) => items.length > 0)
    .map(([name, items]) => [name, { count: items.length, items: items.slice(0, NAMED) }]);
  if (along.length > 0) change.note({ change: { along: Object.fromEntries(along) as object } });
}
