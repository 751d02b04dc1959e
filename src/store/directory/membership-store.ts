import { sql } from 'kysely';
import type { GroupMember } from '../../core/directory/directory.ts';
import type { UsersAndGroupsStore } from '../../core/directory/ports.ts';
import { ServiceError } from '../../core/errors.ts';
import { keepingAdministrators } from '../access/administrators.ts';
import { lockGrants } from '../access/grants-lock.ts';
import { groupIdsOf } from '../access/group-ids.ts';
import { readHoldings } from '../access/held-policy.ts';
import { decodeCursor, pageOf, UUID } from '../cursors.ts';
import { changing, reading, type StoreContext } from '../database.ts';
import { orExplained } from './credential-store.ts';
import { EVERYONE } from './directory-removal.ts';

type MembershipStore = Pick<
  UsersAndGroupsStore,
  'insertMember' | 'listMembers' | 'findObjects' | 'deleteMember' | 'listGroupIdsOf'
>;

const MEMBER_TABLES = ['directory_user', 'service_principal', 'directory_group'] as const;

export function createMembershipStore(context: StoreContext): MembershipStore {
  const { poolId } = context;

  return {
    async insertMember(groupId, memberId, change) {
      await orExplained('member', () =>
        changing(context, change, EVERYONE, async (trx) => {
          await lockGrants(trx, poolId, 'exclusive');
          change.author.requireMayEmpower(await readHoldings(trx, poolId, [groupId]));
          // Locked, so that a member which is being removed meanwhile leaves no membership behind.
          for (const table of MEMBER_TABLES) {
            const member = await trx
              .selectFrom(table)
              .select('id')
              .where('pool_id', '=', poolId)
              .where('id', '=', memberId)
              .forShare()
              .executeTakeFirst();
            if (member === undefined) continue;
            await trx
              .insertInto('group_member')
              .values({ pool_id: poolId, group_id: groupId, member_id: memberId })
              .execute();
            return true;
          }
          throw new ServiceError(
            'DirectoryObjectNotFound',
            `There is no directory object with the id ${memberId}.`,
          );
        }),
      );
    },

    listMembers: (groupId, { after, limit }) =>
      reading(context, async (db) => {
        const { rows } = await sql<MemberRow>`
          select m.member_id as id,
            case when u.id is not null then 'user' when s.id is not null then 'servicePrincipal' else 'group' end as kind,
            coalesce(u.display_name, s.display_name, g.display_name) as display_name
          from group_member m
          left join directory_user u on u.pool_id = m.pool_id and u.id = m.member_id
          left join service_principal s on s.pool_id = m.pool_id and s.id = m.member_id
          left join directory_group g on g.pool_id = m.pool_id and g.id = m.member_id
          where m.pool_id = ${poolId} and m.group_id = ${groupId}
            and (${after ?? null}::text is null or m.member_id > ${after === undefined ? null : decodeCursor(after, UUID)}::uuid)
          order by m.member_id limit ${limit + 1}`.execute(db);
        return pageOf(rows, limit, toMember, (row) => row.id);
      }),

    findObjects: (ids) =>
      reading(context, async (db) => {
        const sought = sql`any(${ids.filter((id) => UUID.test(id))}::uuid[])`;
        const { rows } = await sql<MemberRow>`
          select id, 'user' as kind, display_name from directory_user where pool_id = ${poolId} and id = ${sought}
          union all
          select id, 'servicePrincipal', display_name from service_principal where pool_id = ${poolId} and id = ${sought}
          union all
          select id, 'group', display_name from directory_group where pool_id = ${poolId} and id = ${sought}
          order by id`.execute(db);
        return rows.map(toMember);
      }),

    async deleteMember(groupId, memberId, change) {
      const deleted = await changing(context, change, EVERYONE, (trx) =>
        keepingAdministrators(trx, context, change.author, async () => {
          const held = await readHoldings(trx, poolId, [groupId]);
          change.author.requireMayDisempower(held, memberId);
          return trx
            .deleteFrom('group_member')
            .where('pool_id', '=', poolId)
            .where('group_id', '=', groupId)
            .where('member_id', '=', memberId)
            .returning('member_id')
            .executeTakeFirst();
        }),
      );
      return deleted !== undefined;
    },

    listGroupIdsOf: (memberId, limit) =>
      reading(context, (db) => groupIdsOf(db, poolId, memberId, limit)),
  };
}

interface MemberRow {
  readonly id: string;
  readonly kind: GroupMember['kind'];
  readonly display_name: string;
}

function toMember({ id, kind, display_name }: MemberRow): GroupMember {
  return { id, kind, displayName: display_name };
}
