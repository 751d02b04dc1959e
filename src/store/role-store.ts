import { type ExpressionBuilder, type Selectable, sql } from 'kysely';
import { ServiceError } from '../core/errors.ts';
import { type PolicyReader, type RoleStore } from '../core/ports.ts';
import {
  ADMINISTRATOR_ROLE,
  coveringScopes,
  isWithin,
  type RoleAssignment,
  type Scope,
} from '../core/role.ts';
import { decodeCursor, pageOf, UUID } from './cursors.ts';
import { changing, reading, type StoreContext, type Trx } from './database.ts';
import { createRoleDefinitionStore, lockDefinition } from './role-definition-store.ts';
import { type Tables } from './tables.ts';

type AssignmentRow = Selectable<Tables['role_assignment']>;

export function createRoleStore(context: StoreContext): RoleStore & PolicyReader {
  const { poolId } = context;

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
      const told = { topic: 'assignment', id: assignment.principalId } as const;
      await changing(context, change, told, async (trx) => {
        // Its scopes must not change between their check and this row, nor a definition come to be under its id.
        const role = await lockDefinition(trx, poolId, row.role_id, 'shared');
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
        if (expires_on !== null) await requireAdministrator(trx, poolId, [renewed]);
        return true;
      });
    },

    deleteAssignment: (id, scope, change) =>
      changing(
        context,
        change,
        ({ principalId }: RoleAssignment) => [{ topic: 'assignment', id: principalId }],
        async (trx) => {
          const row = await trx
            .deleteFrom('role_assignment')
            .where('pool_id', '=', poolId)
            .where('id', '=', id)
            .where('scope', '=', scope)
            .returningAll()
            .executeTakeFirst();
          if (row === undefined) return undefined;
          await requireAdministrator(trx, poolId, [row]);
          return toAssignment(row);
        },
      ),

    policyOf: (principalIds) =>
      reading(context, async (db) => {
        if (principalIds.length === 0) return { assignments: [], permissions: [] };
        const rows = await db
          .selectFrom('role_assignment')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('principal_id', 'in', principalIds)
          .execute();
        const roleIds = [...new Set(rows.map((row) => row.role_id))];
        const permissions =
          roleIds.length === 0
            ? []
            : await db
                .selectFrom('role_permission')
                .select(['role_id', 'action'])
                .where('pool_id', '=', poolId)
                .where('role_id', 'in', roleIds)
                .execute();
        return {
          assignments: rows.map(toAssignment),
          permissions: permissions.map((row) => ({
            roleDefinitionId: row.role_id,
            action: row.action,
          })),
        };
      }),
  };
}

/**
 * After rows have been removed in this transaction: the pool must still have an Administrator.
 * @throws ServiceError LastAdministrator
 */
export async function requireAdministrator(
  trx: Trx,
  poolId: string,
  removed: readonly Pick<AssignmentRow, 'role_id' | 'scope'>[],
): Promise<void> {
  if (removed.some((row) => row.role_id === ADMINISTRATOR_ROLE && row.scope === '/'))
    await requireAdministratorBesides(trx, poolId, undefined);
}

/**
 * Before a principal is shut out: the pool must have another Administrator. Those who ask take turns, or two of them could
 * each see the other's administrator.
 * @throws ServiceError LastAdministrator
 */
export async function requireAdministratorBesides(
  trx: Trx,
  poolId: string,
  principalId: string | undefined,
): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`administrators ${poolId}`}, 0))`.execute(
    trx,
  );
  const left = await trx
    .selectFrom('role_assignment')
    .select('id')
    .where('pool_id', '=', poolId)
    .where('role_id', '=', ADMINISTRATOR_ROLE)
    .where('scope', '=', '/')
    // One that ends by itself can't be the one that is left.
    .where('expires_on', 'is', null)
    .$if(principalId !== undefined, (query) => query.where('principal_id', '<>', principalId ?? ''))
    .limit(1)
    .executeTakeFirst();
  if (left === undefined)
    throw new ServiceError(
      'LastAdministrator',
      'The last assignment of Managed HSM Administrator at / cannot be removed.',
    );
}

export function toAssignment(row: AssignmentRow): RoleAssignment {
  return {
    id: row.id,
    principalId: row.principal_id,
    roleDefinitionId: row.role_id,
    scope: row.scope as Scope,
    ...(row.description !== null && { description: row.description }),
    ...(row.expires_on !== null && { expiresOn: Number(row.expires_on) }),
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
