import type { AuthoredChange } from '../../core/access/authored-change.ts';
import type { StateChange } from '../../core/caching/change-feed.ts';
import { keepingAdministrators } from '../access/administrators.ts';
import { readHoldings } from '../access/held-policy.ts';
import { changing, type StoreContext, type Trx } from '../database.ts';
import { removeReferences } from './principal-references.ts';

/** Whose principals a change of users or groups touches isn't worth working out: they change seldom. */
export const EVERYONE: StateChange = { topic: 'directory', id: '*' };

/**
 * Removes a user or a group with all that names it. False where there is none.
 * @param prepare asks the author what else that comes to, and gives back the members whose groups change by it
 * @throws ServiceError AccessDenied, LastAdministrator
 */
export async function removeMember(
  context: StoreContext,
  table: 'directory_user' | 'directory_group',
  id: string,
  change: AuthoredChange,
  prepare: (trx: Trx) => Promise<readonly string[]>,
): Promise<boolean> {
  const deleted = await changing(
    context,
    change,
    () => [EVERYONE, { topic: 'assignment', id }],
    (trx) =>
      keepingAdministrators(trx, context, change.author, async () => {
        change.author.requireMayDisempower(await readHoldings(trx, context.poolId, [id]), id);
        const members = await prepare(trx);
        const row = await trx
          .deleteFrom(table)
          .where('pool_id', '=', context.poolId)
          .where('id', '=', id)
          .returning('id')
          .executeTakeFirst();
        if (row === undefined) return undefined;
        await removeReferences(trx, context, id, change, { members });
        return row;
      }),
  );
  return deleted !== undefined;
}
