import { type Kysely, sql } from 'kysely';
import type { HeldPolicy } from '../../core/access/held-policy.ts';
import type { RoleAssignment, Scope } from '../../core/access/role.ts';
import { UUID } from '../cursors.ts';
import type { Trx } from '../database.ts';
import type { AssignmentRow, Tables } from '../tables.ts';

/** The assignments of these principals, and what the roles in them come to. */
export async function readPolicy(
  db: Kysely<Tables>,
  poolId: string,
  principalIds: readonly string[],
): Promise<HeldPolicy> {
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
    permissions: permissions.map((row) => ({ roleDefinitionId: row.role_id, action: row.action })),
  };
}

/** What these objects hold themselves, and through the groups that they are in, in whatever way. */
export async function readHoldings(
  trx: Trx,
  poolId: string,
  objectIds: readonly string[],
): Promise<HeldPolicy> {
  const { rows } = await sql<{ id: string }>`
    with recursive holder (id) as (
      select unnest(${objectIds.filter((id) => UUID.test(id))}::uuid[])
      union
      select m.group_id from group_member m join holder on holder.id = m.member_id where m.pool_id = ${poolId}
    )
    select id from holder`.execute(trx);
  const holders = [...new Set([...objectIds, ...rows.map(({ id }) => id)])];
  const held = await readPolicy(trx, poolId, holders);
  return (await holdElsewhere(trx, poolId, holders)) ? { ...held, isHeldElsewhere: true } : held;
}

/**
 * Whether they have assignments in other pools of the tenant, which go by this one's directory, or on the tenant's control
 * plane.
 */
async function holdElsewhere(
  trx: Trx,
  poolId: string,
  principalIds: readonly string[],
): Promise<boolean> {
  if (principalIds.length === 0) return false;
  const found = await trx
    .selectFrom('pool as home')
    .innerJoin('pool as other', (join) =>
      join.onRef('other.tenant_id', '=', 'home.tenant_id').onRef('other.id', '<>', 'home.id'),
    )
    .innerJoin('role_assignment as a', 'a.pool_id', 'other.id')
    .select('a.id')
    .where('home.id', '=', poolId)
    .where('a.principal_id', 'in', principalIds)
    .union(
      trx
        .selectFrom('control_assignment as c')
        .select('c.id')
        .where('c.pool_id', '=', poolId)
        .where('c.principal_id', 'in', principalIds),
    )
    .limit(1)
    .executeTakeFirst();
  return found !== undefined;
}

/** What an application's service principal holds: nothing, where there is none. */
export async function readApplicationHoldings(
  trx: Trx,
  poolId: string,
  applicationId: string,
): Promise<{ readonly principalId?: string; readonly held: HeldPolicy }> {
  const principal = await trx
    .selectFrom('service_principal as s')
    .innerJoin('application as a', (join) =>
      join.onRef('a.pool_id', '=', 's.pool_id').onRef('a.app_id', '=', 's.app_id'),
    )
    .select('s.id')
    .where('a.pool_id', '=', poolId)
    .where('a.id', '=', applicationId)
    .executeTakeFirst();
  if (principal === undefined) return { held: { assignments: [], permissions: [] } };
  return { principalId: principal.id, held: await readHoldings(trx, poolId, [principal.id]) };
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
