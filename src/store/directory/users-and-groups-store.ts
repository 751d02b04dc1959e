import { type Kysely, sql } from 'kysely';
import type { AuthoredChange } from '../../core/access/authored-change.ts';
import type { Group, GroupMember, User, UserIdentity } from '../../core/directory/directory.ts';
import type { UsersAndGroupsStore } from '../../core/directory/ports.ts';
import { ServiceError } from '../../core/errors.ts';
import { objectIdsOf } from '../../core/directory/external-object-id.ts';
import type { StateChange } from '../../core/caching/change-feed.ts';
import { keepingAdministrators } from '../access/administrators.ts';
import { orExplained } from './credential-store.ts';
import { decodeCursor, pageOf, UUID } from '../cursors.ts';
import { changing, reading, type StoreContext, type Trx } from '../database.ts';
import { type ComparableProperties, meets } from './directory-conditions.ts';
import { lockGrants } from '../access/grants-lock.ts';
import { groupIdsOf } from '../access/group-ids.ts';
import { readHoldings } from '../access/held-policy.ts';
import { removeReferences } from './principal-references.ts';
import type { Tables } from '../tables.ts';

/** Whose principals a change of users or groups touches isn't worth working out: they change seldom. */
const EVERYONE: StateChange = { topic: 'directory', id: '*' };

const USER: ComparableProperties = {
  id: [sql.ref('id'), 'uuid'],
  displayName: [sql.ref('display_name'), 'caseless'],
  userPrincipalName: [sql.ref('user_principal_name'), 'caseless'],
  mailNickname: [sql.ref('mail_nickname'), 'caseless'],
  accountEnabled: [sql.ref('enabled'), 'boolean'],
};
/** Groups have no mailbox, and every one of them gives its members what it holds. */
const GROUP: ComparableProperties = {
  id: [sql.ref('id'), 'uuid'],
  displayName: [sql.ref('display_name'), 'caseless'],
  mailNickname: [sql.ref('mail_nickname'), 'caseless'],
  mailEnabled: [sql`false`, 'boolean'],
  securityEnabled: [sql`true`, 'boolean'],
};

export function createUsersAndGroupsStore(context: StoreContext): UsersAndGroupsStore {
  const { poolId } = context;

  async function writeIdentities(trx: Trx, { id, identities }: User): Promise<void> {
    await trx
      .deleteFrom('user_identity')
      .where('pool_id', '=', poolId)
      .where('user_id', '=', id)
      .execute();
    if (identities.length > 0)
      await trx
        .insertInto('user_identity')
        .values(identities.map((identity) => ({ pool_id: poolId, user_id: id, ...identity })))
        .execute();
  }

  async function withIdentities(db: Kysely<Tables>, rows: readonly UserFields[]): Promise<User[]> {
    if (rows.length === 0) return [];
    const identities = await db
      .selectFrom('user_identity')
      .selectAll()
      .where('pool_id', '=', poolId)
      .where(
        'user_id',
        'in',
        rows.map(({ id }) => id),
      )
      .orderBy('issuer')
      .orderBy('subject')
      .execute();
    return rows.map((row) => ({
      id: row.id,
      displayName: row.display_name,
      userPrincipalName: row.user_principal_name,
      ...(row.mail_nickname !== null && { mailNickname: row.mail_nickname }),
      enabled: row.enabled,
      identities: identities
        .filter(({ user_id }) => user_id === row.id)
        .map(({ issuer, subject }) => ({ issuer, subject })),
    }));
  }

  return {
    async insertUser(user, change) {
      await orExplained('user', () =>
        changing(context, change, EVERYONE, async (trx) => {
          await lockGrants(trx, poolId, 'exclusive');
          await requireMayMove(trx, change, user, { added: user.identities, removed: [] });
          await trx
            .insertInto('directory_user')
            .values({ pool_id: poolId, id: user.id, ...userColumns(user) })
            .execute();
          await writeIdentities(trx, user);
          return true;
        }),
      );
    },

    findUser: (id) =>
      reading(context, async (db) => {
        const rows = await users(db, poolId).where('id', '=', id).execute();
        return (await withIdentities(db, rows))[0];
      }),

    findUserIdByName: (name) =>
      reading(context, async (db) => {
        const row = await db
          .selectFrom('directory_user')
          .select('id')
          .where('pool_id', '=', poolId)
          .where(sql<boolean>`lower(user_principal_name) = lower(${name}::text)`)
          .executeTakeFirst();
        return row?.id;
      }),

    listUsers: (filter, { after, limit }) =>
      reading(context, async (db) => {
        const rows = await users(db, poolId)
          .where(meets(filter, USER))
          .$if(after !== undefined, (query) =>
            query.where('id', '>', decodeCursor(after ?? '', UUID)),
          )
          .limit(limit + 1)
          .execute();
        const page = pageOf(
          rows,
          limit,
          (row) => row,
          (row) => row.id,
        );
        return { ...page, items: await withIdentities(db, page.items) };
      }),

    async updateUser(id, edit, change) {
      const updated = await orExplained('user', () =>
        changing(context, change, EVERYONE, (trx) =>
          keepingAdministrators(trx, context, change.author, async () => {
            const [present] = await withIdentities(
              trx,
              await users(trx, poolId).where('id', '=', id).forUpdate().execute(),
            );
            if (present === undefined) return undefined;
            const user = edit(present);
            const lacks = (identities: readonly UserIdentity[]) => (one: UserIdentity) =>
              !identities.some((it) => it.issuer === one.issuer && it.subject === one.subject);
            await requireMayMove(trx, change, user, {
              added: user.identities.filter(lacks(present.identities)),
              removed: present.identities.filter(lacks(user.identities)),
            });
            const isRenamed = present.userPrincipalName !== user.userPrincipalName;
            if (present.enabled !== user.enabled || isRenamed) {
              const held = await readHoldings(trx, poolId, [id]);
              const isDisabled = present.enabled && !user.enabled;
              if (isDisabled) change.author.requireMayDisempower(held, id);
              // Roles are given by that name: whoever takes it from one user can give it to another.
              if (!isDisabled || isRenamed) change.author.requireMayEmpower(held);
            }
            await trx
              .updateTable('directory_user')
              .set(userColumns(user))
              .where('pool_id', '=', poolId)
              .where('id', '=', id)
              .execute();
            await writeIdentities(trx, user);
            return present;
          }),
        ),
      );
      return updated !== undefined;
    },

    deleteUser: (id, change) => remove('directory_user', id, change),

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

    deleteGroup: (id, change) => remove('directory_group', id, change),

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

    async updateServicePrincipal(id, { displayName, enabled }, change) {
      const updated = await changing(context, change, { topic: 'directory', id }, (trx) =>
        keepingAdministrators(trx, context, change.author, async () => {
          const present = await trx
            .selectFrom('service_principal')
            .select(['enabled', 'display_name'])
            .where('pool_id', '=', poolId)
            .where('id', '=', id)
            .forUpdate()
            .executeTakeFirst();
          if (present === undefined) return undefined;
          change.note({
            change: {
              before: {
                id,
                ...(displayName !== undefined && { displayName: present.display_name }),
                ...(enabled !== undefined && { enabled: present.enabled }),
              },
            },
          });
          if (enabled !== undefined && present.enabled !== enabled) {
            const held = await readHoldings(trx, poolId, [id]);
            if (enabled) change.author.requireMayEmpower(held);
            else change.author.requireMayDisempower(held, id);
          }
          return trx
            .updateTable('service_principal')
            .set({
              ...(displayName !== undefined && { display_name: displayName }),
              ...(enabled !== undefined && { enabled }),
            })
            .where('pool_id', '=', poolId)
            .where('id', '=', id)
            .returning('id')
            .executeTakeFirst();
        }),
      );
      return updated !== undefined;
    },
  };

  async function remove(
    table: 'directory_user' | 'directory_group',
    id: string,
    change: Parameters<UsersAndGroupsStore['deleteUser']>[1],
  ): Promise<boolean> {
    const deleted = await changing(
      context,
      change,
      () => [EVERYONE, { topic: 'assignment', id }],
      (trx) =>
        keepingAdministrators(trx, context, change.author, async () => {
          change.author.requireMayDisempower(await readHoldings(trx, poolId, [id]), id);
          const members =
            table === 'directory_user'
              ? []
              : await trx
                  .selectFrom('group_member')
                  .select('member_id')
                  .where('pool_id', '=', poolId)
                  .where('group_id', '=', id)
                  .execute();
          const [user] =
            table === 'directory_user'
              ? await withIdentities(
                  trx,
                  await users(trx, poolId).where('id', '=', id).forUpdate().execute(),
                )
              : [];
          if (user !== undefined)
            await requireMayMove(trx, change, user, { added: [], removed: user.identities });
          const row = await trx
            .deleteFrom(table)
            .where('pool_id', '=', poolId)
            .where('id', '=', id)
            .returning('id')
            .executeTakeFirst();
          if (row === undefined) return undefined;
          await removeReferences(trx, context, id, change, {
            members: members.map((one) => one.member_id),
          });
          return row;
        }),
    );
    return deleted !== undefined;
  }

  /**
   * Whose identity is given to a user becomes the user, and is no longer what it is to the service by itself; whose
   * identity is taken from one becomes that again.
   */
  async function requireMayMove(
    trx: Trx,
    { author }: AuthoredChange,
    { id }: Pick<User, 'id'>,
    { added, removed }: Readonly<Record<'added' | 'removed', readonly UserIdentity[]>>,
  ): Promise<void> {
    const held = async (ids: readonly string[]) => readHoldings(trx, poolId, ids);
    if (added.length > 0) {
      author.requireMayEmpower(await held([id]));
      for (const identity of added) {
        const ids = objectIdsOf(identity);
        author.requireMayDisempower(
          await held(ids),
          ids.find((one) => author.ids.includes(one)),
        );
      }
    }
    if (removed.length > 0) {
      author.requireMayDisempower(await held([id]), id);
      for (const identity of removed) author.requireMayEmpower(await held(objectIdsOf(identity)));
    }
  }
}

const MEMBER_TABLES = ['directory_user', 'service_principal', 'directory_group'] as const;

interface UserFields {
  readonly id: string;
  readonly display_name: string;
  readonly user_principal_name: string;
  readonly enabled: boolean;
  readonly mail_nickname: string | null;
}
interface MemberRow {
  readonly id: string;
  readonly kind: GroupMember['kind'];
  readonly display_name: string;
}

function users(db: Kysely<Tables>, poolId: string) {
  return db.selectFrom('directory_user').selectAll().where('pool_id', '=', poolId).orderBy('id');
}

function groups(db: Kysely<Tables>, poolId: string) {
  return db.selectFrom('directory_group').selectAll().where('pool_id', '=', poolId).orderBy('id');
}

function userColumns({ displayName, userPrincipalName, mailNickname, enabled }: User) {
  return {
    display_name: displayName,
    user_principal_name: userPrincipalName,
    mail_nickname: mailNickname ?? null,
    enabled,
  };
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

function toMember({ id, kind, display_name }: MemberRow): GroupMember {
  return { id, kind, displayName: display_name };
}
