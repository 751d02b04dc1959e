import { type Kysely, type Selectable, sql } from 'kysely';
import type { AuditedChange } from '../../core/audit/record.ts';
import type { Author, RoleHolders } from '../../core/access/authored-change.ts';
import { ServiceError } from '../../core/errors.ts';
import type { RoleStore } from '../../core/access/ports.ts';
import type { Permission, RoleDefinition, Scope } from '../../core/access/role.ts';
import { roleKey } from '../../core/access/role-name.ts';
import { decodeCursor, pageOf } from '../cursors.ts';
import { changing, reading, type StoreContext, type Trx } from '../database.ts';
import { lockGrants } from './grants-lock.ts';
import type { Tables } from '../tables.ts';

type RoleDefinitionStore = Pick<
  RoleStore,
  'listDefinitions' | 'findDefinition' | 'putDefinition' | 'deleteDefinition'
>;

export function createRoleDefinitionStore(context: StoreContext): RoleDefinitionStore {
  const { poolId } = context;

  return {
    listDefinitions: ({ after, limit }) =>
      reading(context, async (db) => {
        const rows = await definitions(db, poolId)
          .$if(after !== undefined, (query) => query.where(laterThan(after ?? '')))
          .orderBy('kind')
          .orderBy('position')
          .orderBy('id')
          .limit(limit + 1)
          .execute();
        return pageOf(rows, limit, toDefinition, placeOf);
      }),

    findDefinition: (id) => reading(context, (db) => findDefinition(db, poolId, id)),

    async putDefinition(definition, actions, decide, change) {
      await changing(context, change, { topic: 'role', id: definition.id }, async (trx) => {
        const values = {
          role_name: definition.roleName,
          description: definition.description,
          kind: definition.kind,
          permissions: JSON.stringify(definition.permissions),
          assignable_scopes: [...definition.assignableScopes],
        };
        await lockGrants(trx, poolId, 'shared');
        const present = await lockDefinition(trx, poolId, definition.id);
        decide(present);
        const versions = { ...(present !== undefined && { present }), wanted: definition };
        change.author.requireMayDefine(
          definition.id,
          versions,
          await holdersOf(trx, poolId, definition.id, change.author),
        );
        await requireNameFree(trx, poolId, definition, present);
        await requireAssignedWithin(trx, poolId, definition);
        await trx
          .insertInto('role_definition')
          .values({ pool_id: poolId, id: definition.id, position: 0, ...values })
          .onConflict((conflict) => conflict.columns(['pool_id', 'id']).doUpdateSet(values))
          .execute();
        await writePermissions(trx, poolId, definition.id, [...actions]);
        return true;
      });
    },

    deleteDefinition: (id, decide, change) =>
      changing(context, change, { topic: 'role', id }, async (trx) => {
        await lockGrants(trx, poolId, 'shared');
        const present = await lockDefinition(trx, poolId, id);
        if (present === undefined) return undefined;
        decide(present);
        change.author.requireMayDefine(
          id,
          { present },
          await holdersOf(trx, poolId, id, change.author),
        );
        await trx
          .deleteFrom('role_definition')
          .where('pool_id', '=', poolId)
          .where('id', '=', id)
          .execute();
        return present;
      }),
  };
}

/**
 * Writes the built-in roles as this version of the service defines them, and works out what custom roles come to by the
 * actions that it knows; publishes those that changed.
 * @param actionsOf what permissions come to
 * @returns the ids of the roles that changed
 */
export async function seedRoles(
  context: StoreContext,
  change: AuditedChange,
  builtIn: readonly RoleDefinition[],
  actionsOf: (permissions: readonly Permission[]) => ReadonlySet<string>,
): Promise<readonly string[]> {
  const { poolId } = context;
  const changed = (roles: ReadonlySet<string>) =>
    [...roles].map((id) => ({ topic: 'role', id }) as const);
  const roles = await changing(context, change, changed, async (trx) => {
    const changed = new Set<string>();
    for (const [position, role] of builtIn.entries()) {
      const values = {
        role_name: role.roleName,
        description: role.description,
        kind: role.kind,
        permissions: JSON.stringify(role.permissions),
        assignable_scopes: [...role.assignableScopes],
        position,
      };
      const written = await trx
        .insertInto('role_definition')
        .values({ pool_id: poolId, id: role.id, ...values })
        .onConflict((conflict) =>
          conflict
            .columns(['pool_id', 'id'])
            .doUpdateSet(values)
            .where(sql<boolean>`role_definition is distinct from excluded`),
        )
        .returning('id')
        .executeTakeFirst();
      if (written !== undefined) changed.add(role.id);
    }
    for (const row of await definitions(trx, poolId).forUpdate().execute()) {
      const { id, permissions } = toDefinition(row);
      if (await writePermissions(trx, poolId, id, [...actionsOf(permissions)])) changed.add(id);
    }
    if (changed.size === 0) return undefined;
    change.note({ change: { after: { roles: [...changed] } } });
    return changed;
  });
  return [...(roles ?? [])];
}

export async function findDefinition(
  db: Kysely<Tables>,
  poolId: string,
  id: string,
): Promise<RoleDefinition | undefined> {
  const row = await definitions(db, poolId).where('id', '=', id).executeTakeFirst();
  return row && toDefinition(row);
}

/** Ended assignments count: they may be renewed. */
async function holdersOf(
  trx: Trx,
  poolId: string,
  roleId: string,
  { ids }: Author,
): Promise<RoleHolders> {
  const assignments = trx
    .selectFrom('role_assignment as a')
    .select('a.id')
    .where('a.pool_id', '=', poolId)
    .where('a.role_id', '=', roleId)
    .limit(1);
  const isKnown = sql<boolean>`a.principal_id in (
    select id::text from service_principal where pool_id = ${poolId}
    union all select id::text from directory_user where pool_id = ${poolId}
    union all select id::text from directory_group where pool_id = ${poolId})`;
  const [known, unknown] = [
    await assignments.where(isKnown).executeTakeFirst(),
    await assignments
      .where(sql<boolean>`not ${isKnown}`)
      .$if(ids.length > 0, (query) => query.where('a.principal_id', 'not in', [...ids]))
      .executeTakeFirst(),
  ];
  return { inDirectory: known !== undefined, elsewhere: unknown !== undefined };
}

function definitions(db: Kysely<Tables>, poolId: string) {
  return db.selectFrom('role_definition').selectAll().where('pool_id', '=', poolId);
}

/** 'built-in' comes before 'custom'. */
const PLACE = /^(built-in|custom) (\d{1,9}) ([0-9a-f-]{36})$/;

function placeOf({ kind, position, id }: DefinitionRow): string {
  return `${kind} ${position} ${id}`;
}

function laterThan(cursor: string) {
  const [, kind, position, id] = PLACE.exec(decodeCursor(cursor, PLACE)) ?? [];
  return sql<boolean>`(kind, position, id) > (${kind}, ${Number(position)}, ${id}::uuid)`;
}

/**
 * The definition of that id, which until the end of the transaction nobody else writes. A row that isn't there can't be
 * locked, so its id is.
 */
export async function lockDefinition(
  trx: Trx,
  poolId: string,
  id: string,
  mode: 'exclusive' | 'shared' = 'exclusive',
): Promise<RoleDefinition | undefined> {
  const key = sql`hashtextextended(${`role ${poolId} ${id}`}, 0)`;
  await (
    mode === 'shared'
      ? sql`select pg_advisory_xact_lock_shared(${key})`
      : sql`select pg_advisory_xact_lock(${key})`
  ).execute(trx);
  return findDefinition(trx, poolId, id);
}

/** A role is named by its id and, by people and by `az`, by its name: two must not have the same. */
async function requireNameFree(
  trx: Trx,
  poolId: string,
  { id, roleName }: RoleDefinition,
  present: RoleDefinition | undefined,
): Promise<void> {
  const wanted = roleKey(roleName);
  // Two who write the same name at the same moment take turns.
  await sql`select pg_advisory_xact_lock(hashtextextended(${`role name ${poolId} ${wanted}`}, 0))`.execute(
    trx,
  );
  const others = await trx
    .selectFrom('role_definition')
    .select(['role_name', 'kind'])
    .where('pool_id', '=', poolId)
    .where('id', '<>', id)
    .execute();
  // What had its name before names were compared may keep it, unless it passes for a built-in role.
  const keepsName = present !== undefined && roleKey(present.roleName) === wanted;
  const taken = others.find(
    ({ role_name, kind }) => roleKey(role_name) === wanted && !(keepsName && kind === 'custom'),
  );
  if (taken === undefined) return;
  throw new ServiceError(
    'RoleNameTaken',
    `There is a role with the name ${taken.role_name} already. Please use a different name.`,
  );
}

/** Grants that were made of a role, or under its id before there was one, must not come to hold where it can't. */
async function requireAssignedWithin(
  trx: Trx,
  poolId: string,
  { id, assignableScopes }: RoleDefinition,
): Promise<void> {
  if (assignableScopes.includes('/')) return;
  const elsewhere = await trx
    .selectFrom('role_assignment')
    .select('scope')
    .where('pool_id', '=', poolId)
    .where('role_id', '=', id)
    .where('scope', 'not in', [...assignableScopes])
    .$if(assignableScopes.includes('/keys'), (query) => query.where('scope', 'not like', '/keys/%'))
    .limit(1)
    .executeTakeFirst();
  if (elsewhere === undefined) return;
  throw new ServiceError(
    'RoleAssignedElsewhere',
    `The role is assigned at ${elsewhere.scope}, which would not be among its assignable scopes: remove the assignment first.`,
  );
}

/** Whether that changed anything. */
async function writePermissions(
  trx: Trx,
  poolId: string,
  roleId: string,
  actions: readonly string[],
): Promise<boolean> {
  const removed = await trx
    .deleteFrom('role_permission')
    .where('pool_id', '=', poolId)
    .where('role_id', '=', roleId)
    .where('action', 'not in', [...actions, ''])
    .returning('action')
    .execute();
  if (actions.length === 0) return removed.length > 0;
  const added = await trx
    .insertInto('role_permission')
    .values(actions.map((action) => ({ pool_id: poolId, role_id: roleId, action })))
    .onConflict((conflict) => conflict.doNothing())
    .returning('action')
    .execute();
  return removed.length + added.length > 0;
}

type DefinitionRow = Selectable<Tables['role_definition']>;

function toDefinition(row: DefinitionRow): RoleDefinition {
  return {
    id: row.id,
    roleName: row.role_name,
    description: row.description,
    kind: row.kind,
    permissions: row.permissions as Permission[],
    assignableScopes: row.assignable_scopes as Scope[],
  };
}
