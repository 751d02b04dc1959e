import { ServiceError } from '../../core/errors.ts';
import type { KeyName } from '../../core/keys/key.ts';
import { keyIsDeleted } from '../../core/keys/new-version.ts';
import type { KeyArchive } from '../../core/recovery/ports.ts';
import { changing, reading, type StoreContext } from '../database.ts';
import { raiseEncryptionCount } from '../operations/encryption-count-store.ts';
import { versionsOf } from '../keys/key-reader.ts';
import { fromKeyVersion, toKeyVersion } from '../keys/key-rows.ts';
import { fromRotationPolicy, reschedule, toRotationPolicy } from '../keys/rotation-rows.ts';
import { answeringVersion, chooseCurrent, isDeleted, lockKey } from '../keys/locked-key.ts';

/** A backup is read and held whole: about 4 MB at this many versions of RSA-2048. */
const VERSIONS_LIMIT = 2_000;

export function createKeyArchive(context: StoreContext): KeyArchive {
  const { poolId } = context;
  return {
    readKey: (name) =>
      reading(context, async (db) => {
        const rows = await versionsOf(db, poolId, name)
          .where('key.deleted_at', 'is', null)
          .orderBy('key_version.ordinal')
          .limit(VERSIONS_LIMIT + 1)
          .execute();
        const [first] = rows;
        if (first === undefined) return undefined;
        if (rows.length > VERSIONS_LIMIT)
          throw new ServiceError(
            'KeyTooLarge',
            `A key with more than ${VERSIONS_LIMIT} versions cannot be backed up as one blob.`,
          );
        const counts = await db
          .selectFrom('gcm_use')
          .innerJoin('key_version', (join) =>
            join
              .onRef('key_version.pool_id', '=', 'gcm_use.pool_id')
              .onRef('key_version.version', '=', 'gcm_use.version'),
          )
          .select(['gcm_use.version', 'gcm_use.reserved'])
          .where('key_version.pool_id', '=', poolId)
          .where('key_version.name_key', '=', first.name_key)
          .execute();
        const encryptions = new Map(counts.map((row) => [row.version, Number(row.reserved)]));
        const versions = rows.map((row) => ({
          version: toKeyVersion(row),
          encryptions: encryptions.get(row.version) ?? 0,
        }));
        const policy = await db
          .selectFrom('rotation_policy')
          .selectAll()
          .where('pool_id', '=', poolId)
          .where('name_key', '=', first.name_key)
          .executeTakeFirst();
        return {
          ...(policy !== undefined && { rotationPolicy: toRotationPolicy(policy) }),
          name: versions[0]?.version.material.identity.name ?? name,
          versions,
        };
      }),

    async insertKey({ name, versions, rotationPolicy }, change) {
      const newest = versions.at(-1)?.version.material.identity.version;
      if (newest === undefined) throw new TypeError('a key has at least one version');
      const restored = await changing(
        context,
        change,
        { topic: 'key', id: name.toLowerCase() },
        async (trx) => {
          const inserted = await trx
            .insertInto('key')
            .values({
              pool_id: poolId,
              name_key: name.toLowerCase(),
              name,
              current_version: newest,
            })
            .onConflict((conflict) => conflict.doNothing())
            .returning('name')
            .executeTakeFirst();
          if (inserted === undefined) {
            const present = await lockKey(trx, poolId, name);
            const spelling = (present?.name ?? name) as KeyName;
            if (isDeleted(present)) throw keyIsDeleted(spelling);
            throw new ServiceError('KeyExists', `A key named ${spelling} exists already.`);
          }
          // One statement each: the order in which they are written is the order of the versions.
          for (const { version, encryptions } of versions) {
            await trx.insertInto('key_version').values(fromKeyVersion(version)).execute();
            if (encryptions > 0)
              await raiseEncryptionCount(
                trx,
                poolId,
                version.material.identity.version,
                encryptions,
              );
          }
          await chooseCurrent(trx, poolId, name);
          if (rotationPolicy !== undefined) {
            await trx
              .insertInto('rotation_policy')
              .values(fromRotationPolicy(poolId, name, rotationPolicy))
              .execute();
            await reschedule(trx, poolId, name);
          }
          return toKeyVersion(await answeringVersion(trx, poolId, name));
        },
      );
      if (restored === undefined) throw new TypeError('a restore always changes something');
      return restored;
    },
  };
}
