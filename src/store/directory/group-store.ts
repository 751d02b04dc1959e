import { type Kysely, sql } from 'kysely';
import type { Group } from '../../core/directory/directory.ts';
import type { UsersAndGroupsStore } from '../../core/directory/ports.ts';
import { decodeCursor, pageOf, UUID } from '../cursors.ts';
import { changing, reading, type StoreContext } from '../database.ts';
import type { Tables } from '../tables.ts';
import { type ComparableProperties, meets } from './directory-conditions.ts';
import { EVERYONE, removeMember } from './directory-removal.ts';

type GroupStore = Pick<
  UsersAndGroupsStore,
  'insertGroup' | 'findGroup' | 'listGroups' | 'updateGroup' | 'deleteGroup'
>;

/** Groups have no mailbox, and every one of them gives its members what it holds. */
const GROUP: ComparableProperties = {
  id: [sql.ref('id'), 'uuid'],
  displayName: [sql.ref('display_name'), 'caseless'],
  mailNickname: [sql.ref('mail_nickname'), 'caseless'],
  mailEnabled: [sql`false`, 'boolean'],
  securityEnabled: [sql`true`, 'boolean'],
};

export function createGroupStore(context: StoreContext): GroupStore {
  const { poolId } = context;

  return {
    async insertGroup(group, change) {
      await changing(context, change, EVERYONE, async (trx) => {
        await trx
          .insertInto('directory_group')
          .values({ pool_id: poolId, id: group.id, ...groupColumns(group) })
          .execute();
        return true;
      });
    },

    async updateGroup(id, edit, change) {
      const updated = await changing(context, change, EVERYONE, async (trx) => {
        const present = await groups(trx, poolId)
          .where('id', '=', id)
          .forUpdate()
          .executeTakeFirst();
        if (present === undefined) return undefined;
        await trx
          .updateTable('directory_group')
          .set(groupColumns(edit(toGroup(present))))
          .where('pool_id', '=', poolId)
          .where('id', '=', id)
          .execute();
        return present;
      });
      return updated !== undefined;
    },

    findGroup: (id) =>
      reading(context, async (db) => {
        const row = await groups(db, poolId).where('id', '=', id).executeTakeFirst();
        return row && toGroup(row);
      }),

    listGroups: (filter, { after, limit }) =>
      reading(context, async (db) => {
        const rows = await groups(db, poolId)
          .where(meets(filter, GROUP))
          .$if(after !== undefined, (query) =>
            query.where('id', '>', decodeCursor(after ?? '', UUID)),
          )
          .limit(limit + 1)
          .execute();
        return pageOf(rows, limit, toGroup, (row) => row.id);
      }),

    deleteGroup: (id, change) =>
      removeMember(context, 'directory_group', id, change, async (trx) => {
        const members = await trx
          .selectFrom('group_member')
          .select('member_id')
          .where('pool_id', '=', poolId)
          .where('group_id', '=', id)
          .execute();
        return members.map((one) => one.member_id);
      }),
  };
}

function groups(db: Kysely<Tables>, poolId: string) {
  return db.selectFrom('directory_group').selectAll().where('pool_id', '=', poolId).orderBy('id');
}

function groupColumns({ displayName, description, mailNickname }: Group) {
  return {
    display_name: displayName,
    description: description ?? null,
    mail_nickname: mailNickname ?? null,
  };
}

function toGroup(row: ReturnType<typeof groupColumns> & { readonly id: string }): Group {
  return {
    id: row.id,
    displayName: row.display_name,
    ...(row.description !== null && { description: row.description }),
    ...(row.mail_nickname !== null && { mailNickname: row.mail_nickname }),
  };
}
