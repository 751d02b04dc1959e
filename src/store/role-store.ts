import { type ExpressionBuilder, type Kysely, sql } from 'kysely';
import { ServiceError } from '../core/errors.ts';
import { type PolicyReader, type RoleStore } from '../core/ports.ts';
import {
  ADMINISTRATOR_ROLE,
  coveringScopes,
  type RoleAssignment,
  type RoleDefinition,
  type Scope,
} from '../core/role.ts';
import { decodeCursor, pageOf, UUID } from './cursors.ts';
import { announce, changing, reading, type StoreContext, type Trx } from './database.ts';
import { type Tables } from './tables.ts';

interface AssignmentRow {
  id: string;
  principal_id: string;
  role_id: string;
  scope: string;
}

export function createRoleStore(context: StoreContext): RoleStore & PolicyReader {
  const { poolId } = context;

  return {
    listDefinitions: () =>
      reading(context, async (db) => (await definitions(db, poolId).execute()).map(toDefinition)),

    findDefinition: (id) =>
      reading(context, async (db) => {
        const row = await definitions(db, poolId).where('id', '=', id).executeTakeFirst();
        return row && toDefinition(row);
      }),

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

    async insertAssignment(assignment, change) {
      const row = {
        pool_id: poolId,
        id: assignment.id,
        principal_id: assignment.principalId,
        role_id: assignment.roleDefinitionId,
        scope: assignment.scope,
      };
      const told = { topic: 'assignment', id: assignment.principalId } as const;
      await changing(context, change, told, async (trx) => {
        // The definition must not go away between its check and this row.
        await trx
          .selectFrom('role_definition')
          .select('id')
          .where('pool_id', '=', poolId)
          .where('id', '=', row.role_id)
          .forShare()
          .executeTakeFirst();
        // Waits for whoever is writing the same at this moment, and then sees what came of it.
        await trx
          .insertInto('role_assignment')
          .values(row)
          .onConflict((conflict) => conflict.doNothing())
          .execute();
        const standing = await trx
          .selectFrom('role_assignment')
          .select('id')
          .where('pool_id', '=', poolId)
          .where('id', '=', row.id)
          .where('principal_id', '=', row.principal_id)
          .where('role_id', '=', row.role_id)
          .where('scope', '=', row.scope)
          .executeTakeFirst();
        if (standing === undefined)
          throw new ServiceError('RoleAssignmentExists', 'The role assignment already exists.');
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
 * After rows have been removed in this transaction: the pool must still have an Administrator. Removals take turns, or
 * two of them could each see the other's administrator.
 * @throws ServiceError LastAdministrator
 */
export async function requireAdministrator(
  trx: Trx,
  poolId: string,
  removed: readonly AssignmentRow[],
): Promise<void> {
  if (!removed.some((row) => row.role_id === ADMINISTRATOR_ROLE && row.scope === '/')) return;
  await sql`select pg_advisory_xact_lock(hashtextextended(${`administrators ${poolId}`}, 0))`.execute(
    trx,
  );
  const left = await trx
    .selectFrom('role_assignment')
    .select('id')
    .where('pool_id', '=', poolId)
    .where('role_id', '=', ADMINISTRATOR_ROLE)
    .where('scope', '=', '/')
    .limit(1)
    .executeTakeFirst();
  if (left === undefined)
    throw new ServiceError(
      'LastAdministrator',
      'The last assignment of Managed HSM Administrator at / cannot be removed.',
    );
}

/** Writes the built-in roles as this version of the service defines them, and tells of those whose permissions changed. */
export async function seedBuiltInRoles(
  db: Kysely<Tables>,
  poolId: string,
  roles: readonly (RoleDefinition & { readonly actions: readonly string[] })[],
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    for (const [position, role] of roles.entries()) {
      const values = {
        role_name: role.roleName,
        description: role.description,
        kind: role.kind,
        data_actions: [...role.dataActions],
        not_data_actions: [...role.notDataActions],
        assignable_scopes: [...role.assignableScopes],
        position,
      };
      await trx
        .insertInto('role_definition')
        .values({ pool_id: poolId, id: role.id, ...values })
        .onConflict((conflict) => conflict.columns(['pool_id', 'id']).doUpdateSet(values))
        .execute();
      const removed = await trx
        .deleteFrom('role_permission')
        .where('pool_id', '=', poolId)
        .where('role_id', '=', role.id)
        .where('action', 'not in', [...role.actions, ''])
        .returning('action')
        .execute();
      let isChanged = removed.length > 0;
      for (const action of role.actions) {
        const added = await trx
          .insertInto('role_permission')
          .values({ pool_id: poolId, role_id: role.id, action })
          .onConflict((conflict) => conflict.doNothing())
          .returning('action')
          .executeTakeFirst();
        isChanged ||= added !== undefined;
      }
      if (isChanged) await announce(trx, poolId, [{ topic: 'role', id: role.id }]);
    }
  });
}

function definitions(db: Kysely<Tables>, poolId: string) {
  return db
    .selectFrom('role_definition')
    .selectAll()
    .where('pool_id', '=', poolId)
    .orderBy('kind', 'desc')
    .orderBy('position')
    .orderBy('id');
}

function toDefinition(row: {
  id: string;
  role_name: string;
  description: string;
  kind: 'built-in' | 'custom';
  data_actions: string[];
  not_data_actions: string[];
  assignable_scopes: string[];
}): RoleDefinition {
  return {
    id: row.id,
    roleName: row.role_name,
    description: row.description,
    kind: row.kind,
    dataActions: row.data_actions,
    notDataActions: row.not_data_actions,
    assignableScopes: row.assignable_scopes,
  };
}

function toAssignment(row: AssignmentRow): RoleAssignment {
  return {
    id: row.id,
    principalId: row.principal_id,
    roleDefinitionId: row.role_id,
    scope: row.scope as Scope,
  };
}

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
