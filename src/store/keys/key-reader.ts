import type { Kysely } from 'kysely';
import type { KeyName } from '../../core/keys/key.ts';
import type { KeyReader } from '../../core/keys/ports.ts';
import { decodeCursor, pageOf } from '../cursors.ts';
import { reading, type StoreContext } from '../database.ts';
import { toDeletedKey, toKeyVersion } from './key-rows.ts';
import { preparedQuery } from '../prepared-query.ts';
import type { Tables } from '../tables.ts';

const NAME = /^[0-9a-z-]{1,127}$/;
const ORDINAL = /^\d{1,18}$/;

/** Every read goes by an index on name or ordinal: its cost doesn't grow with the number of keys. */
export function createKeyReader(context: StoreContext): KeyReader {
  const { poolId } = context;
  const stands = { name: 'a name', version: 'a version' };
  const named = versionsOf(context.db, poolId, stands.name as KeyName);
  const undeleted = named.where('key.deleted_at', 'is', null);
  const findCurrent = preparedQuery(
    'find-current-key',
    undeleted.whereRef('key_version.version', '=', 'key.current_version').compile(),
    { name: stands.name },
  );
  const findDeleted = preparedQuery(
    'find-deleted-key',
    named
      .where('key.deleted_at', 'is not', null)
      .whereRef('key_version.version', '=', 'key.current_version')
      .compile(),
    { name: stands.name },
  );
  const findVersion = preparedQuery(
    'find-key-version',
    undeleted.where('key_version.version', '=', stands.version).compile(),
    stands,
  );
  return {
    findKey: (name, version) =>
      reading(context, async (db) => {
        const name_key = name.toLowerCase();
        const [row] =
          version === undefined
            ? await findCurrent(db, { name: name_key })
            : await findVersion(db, { name: name_key, version });
        return row && toKeyVersion(row);
      }),

    listKeys: ({ after, limit }) =>
      reading(context, async (db) => {
        const rows = await currentVersionsOfPage(db, poolId, 'is', { after, limit });
        return pageOf(rows, limit, toKeyVersion, (row) => row.name_key);
      }),

    listVersions: (name, { after, limit }) =>
      reading(context, async (db) => {
        const rows = await versionsOf(db, poolId, name)
          .where('key.deleted_at', 'is', null)
          .where(
            'key_version.ordinal',
            '>',
            after === undefined ? '0' : decodeCursor(after, ORDINAL),
          )
          .orderBy('key_version.ordinal')
          .limit(limit + 1)
          .execute();
        return pageOf(rows, limit, toKeyVersion, (row) => row.ordinal);
      }),

    findDeletedKey: (name) =>
      reading(context, async (db) => {
        const [row] = await findDeleted(db, { name: name.toLowerCase() });
        return row && toDeletedKey(row);
      }),

    listDeletedKeys: ({ after, limit }) =>
      reading(context, async (db) => {
        const rows = await currentVersionsOfPage(db, poolId, 'is not', { after, limit });
        return pageOf(rows, limit, toDeletedKey, (row) => row.name_key);
      }),
  };
}

export function versionsOf(db: Kysely<Tables>, poolId: string, name: KeyName) {
  return joined(db, poolId).where('key.name_key', '=', name.toLowerCase());
}

export function currentVersions(db: Kysely<Tables>, poolId: string) {
  return joined(db, poolId)
    .whereRef('key_version.version', '=', 'key.current_version')
    .orderBy('key.name_key');
}

/**
 * The page is cut before the join: joined first, the planner may merge whole tables, at a cost that grows with the number
 * of keys before the page. `deleted`: whether the date of deletion "is" or "is not" null.
 */
function currentVersionsOfPage(
  db: Kysely<Tables>,
  poolId: string,
  deleted: 'is' | 'is not',
  { after, limit }: { after: string | undefined; limit: number },
) {
  return db
    .selectFrom(
      db
        .selectFrom('key')
        .selectAll()
        .where('pool_id', '=', poolId)
        .where('deleted_at', deleted, null)
        .where('name_key', '>', after === undefined ? '' : decodeCursor(after, NAME))
        .orderBy('name_key')
        .limit(limit + 1)
        .as('key'),
    )
    .innerJoin('key_version', (join) =>
      join
        .onRef('key_version.pool_id', '=', 'key.pool_id')
        .onRef('key_version.name_key', '=', 'key.name_key')
        .onRef('key_version.version', '=', 'key.current_version'),
    )
    .selectAll('key_version')
    .select(['key.name', 'key.deleted_at', 'key.purge_at'])
    .orderBy('key.name_key')
    .execute();
}

function joined(db: Kysely<Tables>, poolId: string) {
  return db
    .selectFrom('key')
    .innerJoin('key_version', (join) =>
      join
        .onRef('key_version.pool_id', '=', 'key.pool_id')
        .onRef('key_version.name_key', '=', 'key.name_key'),
    )
    .where('key.pool_id', '=', poolId)
    .selectAll('key_version')
    .select(['key.name', 'key.deleted_at', 'key.purge_at']);
}
