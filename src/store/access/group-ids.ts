import { type Kysely, sql } from 'kysely';
import type { Tables } from '../tables.ts';

/** The groups that a member is in, groups within groups too; UNION drops what was seen, so rings of groups end. */
export async function groupIdsOf(
  db: Kysely<Tables>,
  poolId: string,
  memberId: string,
  limit: number,
): Promise<readonly string[]> {
  const { rows } = await sql<{ id: string }>`
    with recursive held (id) as (
      select group_id from group_member where pool_id = ${poolId} and member_id = ${memberId}
      union
      select m.group_id from group_member m join held on held.id = m.member_id where m.pool_id = ${poolId}
    )
    select id from held order by id limit ${limit}`.execute(db);
  return rows.map((row) => row.id);
}
