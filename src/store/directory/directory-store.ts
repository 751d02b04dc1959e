import { type Kysely, sql } from 'kysely';
import type {
  Application,
  PasswordCredential,
  ServicePrincipal,
} from '../../core/directory/directory.ts';
import type { AuthoredChange } from '../../core/access/authored-change.ts';
import { ServiceError } from '../../core/errors.ts';
import type { DirectoryStore } from '../../core/directory/ports.ts';
import type { StateChange } from '../../core/caching/change-feed.ts';
import { keepingAdministrators } from '../access/administrators.ts';
import { insertCertificates } from './credential-store.ts';
import { decodeCursor, pageOf, UUID } from '../cursors.ts';
import { changing, reading, type StoreContext, type Trx } from '../database.ts';
import { type ComparableProperties, meets } from './directory-conditions.ts';
import { isDuplicate, isOrphaned } from '../errors.ts';
import { lockGrants } from '../access/grants-lock.ts';
import { readApplicationHoldings, readHoldings } from '../access/held-policy.ts';
import { removeReferences } from './principal-references.ts';
import type { Tables } from '../tables.ts';

/** Identifiers are GUIDs: another text can't be one, and Postgres wouldn't take it. */
const isUuid = (text: string) => UUID.test(text);

const APPLICATION: ComparableProperties = {
  id: [sql.ref('id'), 'uuid'],
  appId: [sql.ref('app_id'), 'uuid'],
  displayName: [sql.ref('display_name'), 'caseless'],
};
const SERVICE_PRINCIPAL: ComparableProperties = {
  ...APPLICATION,
  accountEnabled: [sql.ref('enabled'), 'boolean'],
};

export function createDirectoryStore(context: StoreContext): DirectoryStore {
  const { poolId } = context;
  const changeOf = (id: string): StateChange => ({ topic: 'directory', id });

  /** With its role assignments and memberships. Undefined where there is none. */
  async function removePrincipal(trx: Trx, id: string, change: AuthoredChange) {
    change.author.requireMayDisempower(await readHoldings(trx, poolId, [id]), id);
    const principal = await trx
      .deleteFrom('service_principal')
      .where('pool_id', '=', poolId)
      .where('id', '=', id)
      .returning('id')
      .executeTakeFirst();
    if (principal === undefined) return undefined;
    await removeReferences(trx, context, id, change);
    return principal;
  }

  return {
    async insertApplication(application, change, certificates = []) {
      await changing(context, change, changeOf(application.id), async (trx) => {
        await trx
          .insertInto('application')
          .values({
            pool_id: poolId,
            id: application.id,
            app_id: application.appId,
            display_name: application.displayName,
            created_at: application.createdAt,
          })
          .execute();
        await insertCertificates(trx, poolId, application.id, certificates);
        return true;
      });
    },

    findApplication: (by) =>
      reading(context, async (db) => {
        const [column, value] =
          'id' in by ? (['id', by.id] as const) : (['app_id', by.appId] as const);
        if (!isUuid(value)) return undefined;
        const row = await applications(db, poolId).where(column, '=', value).executeTakeFirst();
        return row && toApplication(row);
      }),

    listApplications: (filter, { after, limit }) =>
      reading(context, async (db) => {
        const rows = await applications(db, poolId)
          .where(meets(filter, APPLICATION))
          .$if(after !== undefined, (query) =>
            query.where('id', '>', decodeCursor(after ?? '', UUID)),
          )
          .limit(limit + 1)
          .execute();
        return pageOf(rows, limit, toApplication, (row) => row.id);
      }),

    async deleteApplication(id, change) {
      let principalId: string | undefined;
      const deleted = await changing(
        context,
        change,
        () => [changeOf(id), ...(principalId === undefined ? [] : endOfPrincipal(principalId))],
        (trx) =>
          keepingAdministrators(trx, context, change.author, async () => {
            const application = await applications(trx, poolId)
              .where('id', '=', id)
              .forUpdate()
              .executeTakeFirst();
            if (application === undefined) return undefined;
            const principal = await servicePrincipals(trx, poolId)
              .where('app_id', '=', application.app_id)
              .executeTakeFirst();
            principalId = principal?.id;
            if (principalId !== undefined) await removePrincipal(trx, principalId, change);
            await trx
              .deleteFrom('application')
              .where('pool_id', '=', poolId)
              .where('id', '=', id)
              .execute();
            return true;
          }),
      );
      return deleted === true;
    },

    async insertPassword(applicationId, password, change) {
      await orNotFound('application', () =>
        changing(context, change, changeOf(applicationId), async (trx) => {
          await lockGrants(trx, poolId, 'exclusive');
          const { held } = await readApplicationHoldings(trx, poolId, applicationId);
          change.author.requireMayEmpower(held);
          await trx
            .insertInto('application_password')
            .values({
              pool_id: poolId,
              application_id: applicationId,
              key_id: password.keyId,
              display_name: password.displayName ?? null,
              hint: password.hint,
              hash: password.hash,
              starts_at: password.startsAt,
              ends_at: password.endsAt,
            })
            .execute();
          return true;
        }),
      );
    },

    async deletePassword(applicationId, keyId, change) {
      const deleted = await changing(context, change, changeOf(applicationId), (trx) =>
        keepingAdministrators(trx, context, change.author, async () => {
          const { held, principalId } = await readApplicationHoldings(trx, poolId, applicationId);
          change.author.requireMayDisempower(held, principalId);
          return trx
            .deleteFrom('application_password')
            .where('pool_id', '=', poolId)
            .where('application_id', '=', applicationId)
            .where('key_id', '=', keyId)
            .returning('key_id')
            .executeTakeFirst();
        }),
      );
      return deleted !== undefined;
    },

    listPasswords: (applicationId) =>
      reading(context, async (db) => {
        const rows = await db
          .selectFrom('application_password')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('application_id', '=', applicationId)
          .orderBy('starts_at')
          .orderBy('key_id')
          .execute();
        return rows.map((row): PasswordCredential => ({
          keyId: row.key_id,
          ...(row.display_name !== null && { displayName: row.display_name }),
          hint: row.hint,
          hash: row.hash,
          startsAt: row.starts_at,
          endsAt: row.ends_at,
        }));
      }),

    async insertServicePrincipal(principal, change) {
      try {
        await changing(context, change, changeOf(principal.id), async (trx) => {
          await trx
            .insertInto('service_principal')
            .values({
              pool_id: poolId,
              id: principal.id,
              app_id: principal.appId,
              display_name: principal.displayName,
              enabled: principal.enabled,
            })
            .execute();
          return true;
        });
      } catch (error) {
        if (isOrphaned(error)) throw gone('application', error);
        if (!isDuplicate(error)) throw error;
        throw new ServiceError(
          'DirectoryObjectExists',
          'The application has a service principal already.',
          { cause: error },
        );
      }
    },

    findServicePrincipal: (by) =>
      reading(context, async (db) => {
        const [column, value] =
          'id' in by ? (['id', by.id] as const) : (['app_id', by.appId] as const);
        if (!isUuid(value)) return undefined;
        const row = await servicePrincipals(db, poolId)
          .where(column, '=', value)
          .executeTakeFirst();
        return row && toServicePrincipal(row);
      }),

    listServicePrincipals: (filter, { after, limit }) =>
      reading(context, async (db) => {
        const rows = await servicePrincipals(db, poolId)
          .where(meets(filter, SERVICE_PRINCIPAL))
          .$if(after !== undefined, (query) =>
            query.where('id', '>', decodeCursor(after ?? '', UUID)),
          )
          .limit(limit + 1)
          .execute();
        return pageOf(rows, limit, toServicePrincipal, (row) => row.id);
      }),

    async deleteServicePrincipal(id, change) {
      const deleted = await changing(
        context,
        change,
        () => endOfPrincipal(id),
        (trx) =>
          keepingAdministrators(trx, context, change.author, () =>
            removePrincipal(trx, id, change),
          ),
      );
      return deleted !== undefined;
    },
  };

  function endOfPrincipal(id: string): StateChange[] {
    return [changeOf(id), { topic: 'assignment', id }];
  }
}

function applications(db: Kysely<Tables>, poolId: string) {
  return db.selectFrom('application').selectAll().where('pool_id', '=', poolId).orderBy('id');
}

function servicePrincipals(db: Kysely<Tables>, poolId: string) {
  return db.selectFrom('service_principal').selectAll().where('pool_id', '=', poolId).orderBy('id');
}

function toApplication(row: {
  id: string;
  app_id: string;
  display_name: string;
  created_at: Date;
}): Application {
  return {
    id: row.id,
    appId: row.app_id,
    displayName: row.display_name,
    createdAt: row.created_at,
  };
}

function toServicePrincipal(row: {
  id: string;
  app_id: string;
  display_name: string;
  enabled: boolean;
}): ServicePrincipal {
  return { id: row.id, appId: row.app_id, displayName: row.display_name, enabled: row.enabled };
}

function gone(what: string, cause: unknown): ServiceError {
  return new ServiceError('DirectoryObjectNotFound', `The ${what} does not exist any more.`, {
    cause,
  });
}

async function orNotFound<T>(what: string, change: () => Promise<T>): Promise<T> {
  try {
    return await change();
  } catch (error) {
    if (isOrphaned(error)) throw gone(what, error);
    throw error;
  }
}
