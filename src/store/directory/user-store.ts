import { type Kysely, sql } from 'kysely';
import type { AuthoredChange } from '../../core/access/authored-change.ts';
import type { User, UserIdentity } from '../../core/directory/directory.ts';
import type { UsersAndGroupsStore } from '../../core/directory/ports.ts';
import { objectIdsOf } from '../../core/directory/external-object-id.ts';
import { keepingAdministrators } from '../access/administrators.ts';
import { lockGrants } from '../access/grants-lock.ts';
import { readHoldings } from '../access/held-policy.ts';
import { decodeCursor, pageOf, UUID } from '../cursors.ts';
import { changing, reading, type StoreContext, type Trx } from '../database.ts';
import type { Tables } from '../tables.ts';
import { orExplained } from './credential-store.ts';
import { type ComparableProperties, meets } from './directory-conditions.ts';
import { EVERYONE, removeMember } from './directory-removal.ts';

type UserStore = Pick<
  UsersAndGroupsStore,
  'insertUser' | 'findUser' | 'findUserIdByName' | 'listUsers' | 'updateUser' | 'deleteUser'
>;

const USER: ComparableProperties = {
  id: [sql.ref('id'), 'uuid'],
  displayName: [sql.ref('display_name'), 'caseless'],
  userPrincipalName: [sql.ref('user_principal_name'), 'caseless'],
  mailNickname: [sql.ref('mail_nickname'), 'caseless'],
  accountEnabled: [sql.ref('enabled'), 'boolean'],
};

export function createUserStore(context: StoreContext): UserStore {
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

    deleteUser: (id, change) =>
      removeMember(context, 'directory_user', id, change, async (trx) => {
        const [user] = await withIdentities(
          trx,
          await users(trx, poolId).where('id', '=', id).forUpdate().execute(),
        );
        if (user !== undefined)
          await requireMayMove(trx, change, user, { added: [], removed: user.identities });
        return [];
      }),
  };

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

interface UserFields {
  readonly id: string;
  readonly display_name: string;
  readonly user_principal_name: string;
  readonly enabled: boolean;
  readonly mail_nickname: string | null;
}
function users(db: Kysely<Tables>, poolId: string) {
  return db.selectFrom('directory_user').selectAll().where('pool_id', '=', poolId).orderBy('id');
}

function userColumns({ displayName, userPrincipalName, mailNickname, enabled }: User) {
  return {
    display_name: displayName,
    user_principal_name: userPrincipalName,
    mail_nickname: mailNickname ?? null,
    enabled,
  };
}
