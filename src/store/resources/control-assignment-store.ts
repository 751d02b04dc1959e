import type { Selectable } from 'kysely';
import { ServiceError } from '../../core/errors.ts';
import type { ControlAssignment } from '../../core/resources/control-role.ts';
import type { ControlAssignmentStore } from '../../core/resources/ports.ts';
import { coveringScopes, type ControlScope } from '../../core/resources/scope.ts';
import { decodeCursor, pageOf, UUID } from '../cursors.ts';
import { changing, reading, type StoreContext } from '../database.ts';
import { isDuplicate } from '../errors.ts';
import type { Tables } from '../tables.ts';

const NOBODY = () => [];

/** Who holds what on the control plane of a tenant: `context` is that of its home pool. */
export function createControlAssignmentStore(context: StoreContext): ControlAssignmentStore {
  const { poolId } = context;
  const all = (db: StoreContext['db']) =>
    db.selectFrom('control_assignment').selectAll().where('pool_id', '=', poolId);

  return {
    listOf: (principalIds) =>
      reading(context, async (db) => {
        const rows = await all(db).where('principal_id', 'in', principalIds).execute();
        return rows.map(toAssignment);
      }),

    list: ({ scope, below, principalId }, { after, limit }) =>
      reading(context, async (db) => {
        const rows = await all(db)
          .where((eb) =>
            eb.or([
              eb('scope', 'in', coveringScopes(scope)),
              ...(below ? [eb.fn<boolean>('starts_with', ['scope', eb.val(`${scope}/`)])] : []),
            ]),
          )
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

    find: (id) =>
      reading(context, async (db) => {
        if (!UUID.test(id)) return undefined;
        const row = await all(db).where('id', '=', id).executeTakeFirst();
        return row && toAssignment(row);
      }),

    async insert({ id, principalId, roleId, scope }, change) {
      try {
        await changing(context, change, NOBODY, async (trx) => {
          await trx
            .insertInto('control_assignment')
            .values({ pool_id: poolId, id, principal_id: principalId, role_id: roleId, scope })
            .execute();
          return true;
        });
      } catch (error) {
        if (!isDuplicate(error)) throw error;
        throw new ServiceError('RoleAssignmentExists', 'The role assignment already exists.', {
          cause: error,
        });
      }
    },

    async delete(id, change) {
      await changing(context, change, NOBODY, async (trx) => {
        const { numDeletedRows } = await trx
          .deleteFrom('control_assignment')
          .where('pool_id', '=', poolId)
          .where('id', '=', id)
          .executeTakeFirstOrThrow();
        return numDeletedRows === 0n ? undefined : true;
      });
    },
  };
}

function toAssignment(row: Selectable<Tables['control_assignment']>): ControlAssignment {
  return {
    id: row.id,
    principalId: row.principal_id,
    roleId: row.role_id,
    scope: row.scope as ControlScope,
  };
}
