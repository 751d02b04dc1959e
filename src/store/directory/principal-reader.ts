import { type Kysely, sql } from 'kysely';
import type { PrincipalReader } from '../../core/directory/ports.ts';
import { UUID } from '../cursors.ts';
import { reading, type StoreContext } from '../database.ts';
import { groupIdsOf } from '../access/group-ids.ts';
import type { Tables } from '../tables.ts';

/** Those of the ids that are users, service principals or groups of the directory. */
export async function findOwnIds(
  db: Kysely<Tables>,
  poolId: string,
  ids: readonly string[],
): Promise<readonly string[]> {
  const sought = sql`any(${ids.filter((id) => UUID.test(id))}::uuid[])`;
  const { rows } = await sql<{ id: string }>`
    select id from service_principal where pool_id = ${poolId} and id = ${sought}
    union all
    select id from directory_user where pool_id = ${poolId} and id = ${sought}
    union all
    select id from directory_group where pool_id = ${poolId} and id = ${sought}`.execute(db);
  return rows.map((row) => row.id);
}

/** Of more groups the rest is left out, which can only take rights away. */
const GROUPS_LIMIT = 1_000;

export function createPrincipalReader(context: StoreContext): PrincipalReader {
  const { poolId } = context;
  return {
    findPrincipal: (by) =>
      reading(context, async (db) => {
        const id = 'id' in by ? by.id : await userIdOf(db, by);
        if (id === undefined || !UUID.test(id)) return undefined;
        const { rows } = await sql<{ display_name: string; enabled: boolean }>`
          select display_name, enabled from service_principal where pool_id = ${poolId} and id = ${id}
          union all
          select display_name, enabled from directory_user where pool_id = ${poolId} and id = ${id}`.execute(
          db,
        );
        const [found] = rows;
        if (found === undefined) return undefined;
        return {
          id,
          displayName: found.display_name,
          enabled: found.enabled,
          groups: await groupIdsOf(db, poolId, id, GROUPS_LIMIT),
        };
      }),

    findOwnIds: (ids) => reading(context, (db) => findOwnIds(db, poolId, ids)),
  };

  async function userIdOf(
    db: Kysely<Tables>,
    { issuer, subject }: { readonly issuer: string; readonly subject: string },
  ): Promise<string | undefined> {
    const row = await db
      .selectFrom('user_identity')
      .select('user_id')
      .where('pool_id', '=', poolId)
      .where('issuer', '=', issuer)
      .where('subject', '=', subject)
      .executeTakeFirst();
    return row?.user_id;
  }
}
