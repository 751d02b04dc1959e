import type { ExpressionBuilder } from 'kysely';
import { ServiceError } from '../../core/errors.ts';
import type { PolicyReader, RoleStore } from '../../core/access/ports.ts';
import {
  coveringScopes,
  isWithin,
  type RoleAssignment,
  type Scope,
} from '../../core/access/role.ts';
import { keepingAdministrators, requireAdministrator } from './administrators.ts';
import { decodeCursor, pageOf, UUID } from '../cursors.ts';
import { changing, reading, type StoreContext } from '../database.ts';
import { lockGrants } from './grants-lock.ts';
import { readPolicy, toAssignment } from './held-policy.ts';
import { findOwnIds } from '../directory/principal-reader.ts';
import {
  createRoleDefinitionStore,
  findDefinition,
  lockDefinition,
} from './role-definition-store.ts';
import type { Tables } from '../tables.ts';

export function createRoleStore(context: StoreContext): RoleStore & PolicyReader {
  const { poolId, homeId } = context;

  return {
    ...createRoleDefinitionStore(context),

    listAssignments: ({ scope, above, below, principalId }, { after, limit }) =>
      reading(context, async (db) => {
        const rows = await db
          .selectFrom('role_assignment')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where((eb) => atScope(eb, scope, { above, below }))
          .$if(principalId !== undefined, (query) =>
            query.where('principal_id', '=', principalId ?? ''),
          )
          .$if(after !== undefined, (query) =>
            query.where('id', '>', decodeCursor(after ?? '', UUID)),
          )
          .orderBy('id')
          .limit(limit + 1)
          .execute();
        return pageOf(rows, limit, toAssignment, (row) => row.id);
      }),

    findAssignment: (id, scope) =>
      reading(context, async (db) => {
        const row = await db
          .selectFrom('role_assignment')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('id', '=', id)
          .where('scope', '=', scope)
          .executeTakeFirst();
        return row && toAssignment(row);
      }),

    listHolders: (roleDefinitionId, limit) =>
      reading(context, async (db) => {
        const rows = await db
          .selectFrom('role_assignment')
          .select('principal_id')
          .distinct()
          .where('pool_id', '=', poolId)
          .where('role_id', '=', roleDefinitionId)
          .limit(limit)
          .execute();
        return rows.map((row) => row.principal_id);
      }),

    async putAssignment(assignment, now, change) {
      const row = {
        pool_id: poolId,
        id: assignment.id,
        principal_id: assignment.principalId,
        role_id: assignment.roleDefinitionId,
        scope: assignment.scope,
        description: assignment.description ?? null,
        expires_on: assignment.expiresOn ?? null,
      };
      const changed = { topic: 'assignment', id: assignment.principalId } as const;
      await changing(context, change, changed, async (trx) => {
        await lockGrants(trx, poolId, assignment.expiresOn === undefined ? 'shared' : 'exclusive');
        // Its scopes must not change between their check and this row, nor a definition come to be under its id.
        const role = await lockDefinition(trx, poolId, row.role_id, 'shared');
        const isInDirectory = (await findOwnIds(trx, homeId, [row.principal_id])).length > 0;
        change.author.requireMayGrant(role, assignment, { isInDirectory });
        if (role?.assignableScopes.some((wide) => isWithin(assignment.scope, wide)) === false)
          throw new ServiceError(
            'BadParameter',
            `The role ${role.roleName} cannot be assigned at ${assignment.scope}.`,
          );
        await trx
          .deleteFrom('role_assignment')
          .where('pool_id', '=', poolId)
          .where('principal_id', '=', row.principal_id)
          .where('role_id', '=', row.role_id)
          .where('scope', '=', row.scope)
          .where('id', '<>', row.id)
          .where('expires_on', '<=', String(now))
          .execute();
        // Waits for whoever is writing the same at this moment, and then sees what came of it.
        const inserted = await trx
          .insertInto('role_assignment')
          .values(row)
          .onConflict((conflict) => conflict.doNothing())
          .returning('id')
          .executeTakeFirst();
        if (inserted !== undefined) return true;
        const { description, expires_on } = row;
        const renewed = await trx
          .updateTable('role_assignment')
          .set({ description, expires_on })
          .where('pool_id', '=', poolId)
          .where('id', '=', row.id)
          .where('principal_id', '=', row.principal_id)
          .where('role_id', '=', row.role_id)
          .where('scope', '=', row.scope)
          .returningAll()
          .executeTakeFirst();
        if (renewed === undefined)
          throw new ServiceError('RoleAssignmentExists', 'The role assignment already exists.');
        if (expires_on !== null) await requireAdministrator(trx, context, change.author, [renewed]);
        return true;
      });
    },

    deleteAssignment: (id, scope, change) =>
      changing(
        context,
        change,
        ({ principalId }: RoleAssignment) => [{ topic: 'assignment', id: principalId }],
        (trx) =>
          keepingAdministrators(trx, context, change.author, async () => {
            const row = await trx
              .deleteFrom('role_assignment')
              .where('pool_id', '=', poolId)
              .where('id', '=', id)
              .where('scope', '=', scope)
              .returningAll()
              .executeTakeFirst();
            if (row === undefined) return undefined;
            const role = await findDefinition(trx, poolId, row.role_id);
            change.author.requireMayRevoke(role, row.principal_id);
            await requireAdministrator(trx, context, change.author, [row]);
            return toAssignment(row);
          }),
      ),

    policyOf: (principalIds) => reading(context, (db) => readPolicy(db, poolId, principalIds)),
  };
}

/** At a scope, and as the flags say above or below it. */
function atScope(
  eb: ExpressionBuilder<Tables, 'role_assignment'>,
  scope: Scope,
  { above, below }: { above: boolean; below: boolean },
) {
  const wanted = above ? coveringScopes(scope) : [scope];
  const parts = [eb('scope', 'in', [...wanted])];
  if (below && scope === '/') return eb.val(true).$castTo<boolean>();
  if (below && scope === '/keys') parts.push(eb('scope', 'like', '/keys/%'));
  return eb.or(parts).$castTo<boolean>();
}
