import { type Kysely, sql } from 'kysely';
import type { AuditedChange } from '../../core/audit/record.ts';
import { ServiceError } from '../../core/errors.ts';
import type { KeyName, KeyVersion, KeyVersionId } from '../../core/keys/key.ts';
import { purgeProtected } from '../../core/keys/key-refusals.ts';
import { keyIsDeleted } from '../../core/keys/new-version.ts';
import type { KeyWriter } from '../../core/keys/ports.ts';
import type { StateChange } from '../../core/caching/change-feed.ts';
import { keyScope } from '../../core/access/role.ts';
import { changing, reading, type StoreContext, type Trx } from '../database.ts';
import { NameLocks } from './name-locks.ts';
import { noteAlong } from '../directory/principal-references.ts';
import { toAssignment } from '../access/held-policy.ts';
import { versionsOf } from './key-reader.ts';
import { doomObjectsOfKey, recoverObjects, settleObjects } from './object-ledger.ts';
import { reschedule } from './rotation-rows.ts';
import type { Tables } from '../tables.ts';
import { changeableOf, fromKeyVersion, toDeletedKey, toKeyVersion } from './key-rows.ts';
import {
  answeringVersion,
  chooseCurrent,
  isDeleted,
  lockKey,
  newestVersion,
} from './locked-key.ts';

/** How often the HSM is asked for one update, each time anew because another process has changed the same version. */
const RESEAL_TRIES = 10;
/** Updates of one key that wait for each other in this process: each takes the HSM a few calls. */
const RESEAL_LIMIT = 100;

/** PostgreSQL's clock at the beginning of the transaction, in whole seconds since 1970-01-01 UTC. */
const STORE_SECONDS = sql<number>`floor(extract(epoch from now()))::bigint`;

export function createKeyWriter(context: StoreContext): KeyWriter {
  const { poolId } = context;
  const resealing = new NameLocks(RESEAL_LIMIT);
  /** Expired keys whose purge has failed here: the others go first. */
  const unpurged = new Set<string>();
  const changeOf = (name: KeyName): StateChange => ({ topic: 'key', id: name.toLowerCase() });

  return {
    async insertVersion(version, change, onlyAfter) {
      const { name, version: id } = version.material.identity;
      return changing(context, change, changeOf(name), async (trx) => {
        const isNew = onlyAfter === undefined && (await insertKey(trx, name, id));
        let spelling = name;
        if (!isNew) {
          const key = await lockNamed(trx, name, change);
          spelling = key?.name ?? name;
          if (isDeleted(key)) throw keyIsDeleted(spelling);
          if (onlyAfter !== undefined && (await newestVersion(trx, poolId, name)) !== onlyAfter)
            return undefined;
        }
        await settleObjects(trx, version.material);
        await trx.insertInto('key_version').values(fromKeyVersion(version)).execute();
        // The only version of a new key is current already, and there can't be a rotation policy yet.
        if (isNew) return name;
        await chooseCurrent(trx, poolId, name);
        await reschedule(trx, poolId, name);
        return spelling;
      });
    },

    async updateVersion(name, version, edit, change) {
      return resealing.take(name.toLowerCase(), async () => {
        for (let tries = 0; tries < RESEAL_TRIES; tries += 1) {
          const before = await reading(context, (db) => findVersion(db, name, version));
          if (before === undefined) return undefined;
          const material = await edit.reseal(before.material);
          const race = { isLost: false };
          const updated = await changing(context, change, changeOf(name), async (trx) => {
            const current = await lockVersion(trx, name, version);
            // A seal is over all of the material: the same seal means the same material.
            race.isLost =
              current !== undefined && current.material.sealed.seal !== before.material.sealed.seal;
            if (current === undefined || race.isLost) return undefined;
            return store(trx, current, edit.apply(current, material));
          });
          if (!race.isLost) return updated;
        }
        throw new ServiceError('Overloaded', 'Too many changes of this key at once.');
      });
    },

    deleteKey: (name, retentionSeconds, change) =>
      changing(context, change, changeOf(name), async (trx) => {
        const key = await lockNamed(trx, name, change);
        if (key === undefined || isDeleted(key)) return undefined;
        await trx
          .updateTable('key')
          .set({
            deleted_at: STORE_SECONDS,
            purge_at: sql<number>`${STORE_SECONDS} + ${retentionSeconds}`,
          })
          .where('pool_id', '=', poolId)
          .where('name_key', '=', key.name_key)
          .execute();
        return toDeletedKey(await answeringVersion(trx, poolId, name));
      }),

    recoverKey: (name, change) =>
      changing(context, change, changeOf(name), async (trx) => {
        const key = await lockNamed(trx, name, change);
        if (key === undefined || !isDeleted(key)) return undefined;
        await trx
          .updateTable('key')
          .set({ deleted_at: null, purge_at: null })
          .where('pool_id', '=', poolId)
          .where('name_key', '=', key.name_key)
          .execute();
        await recoverObjects(trx, poolId, name);
        return toKeyVersion(await answeringVersion(trx, poolId, name));
      }),

    async purgeKey(name, change) {
      const purged = await removing(change, async (trx) => {
        const key = await lockNamed(trx, name, change);
        if (!isDeleted(key)) return undefined;
        // Processes learn of protection when they start; it may be younger, and from its commit on nothing is purged.
        const pool = await trx
          .selectFrom('pool')
          .select('purge_protection')
          .where('id', '=', poolId)
          .forShare()
          .executeTakeFirstOrThrow();
        if (pool.purge_protection) throw purgeProtected();
        return name;
      });
      return purged !== undefined;
    },

    async purgeExpiredKey(change) {
      let chosen: KeyName | undefined;
      const choose = async (trx: Trx) => {
        const key = await trx
          .selectFrom('key')
          .select('name')
          .where('pool_id', '=', poolId)
          .where(sql<boolean>`purge_at <= ${STORE_SECONDS}`)
          .where(sql<boolean>`name <> all (${[...unpurged]}::text[])`)
          .orderBy('purge_at')
          .limit(1)
          .forUpdate()
          .skipLocked()
          .executeTakeFirst();
        if (key === undefined) return undefined;
        chosen = key.name as KeyName;
        change.note({ keyName: chosen, scope: keyScope(chosen) });
        return chosen;
      };
      try {
        const purged = await removing(change, choose);
        if (purged === undefined) unpurged.clear();
        return purged;
      } catch (error) {
        if (chosen !== undefined) unpurged.add(chosen);
        throw error;
      }
    },
  };

  /** The audit log knows a key by the name that its creator wrote. */
  async function lockNamed(trx: Trx, name: KeyName, change: AuditedChange) {
    const key = await lockKey(trx, poolId, name);
    if (key !== undefined) change.note({ keyName: key.name });
    return key && { ...key, name: key.name as KeyName };
  }

  /** The newest where none is named; undefined also where the key is deleted. */
  async function findVersion(
    db: Kysely<Tables>,
    name: KeyName,
    version: KeyVersionId | undefined,
  ): Promise<KeyVersion | undefined> {
    const row = await versionsOf(db, poolId, name)
      .where('key.deleted_at', 'is', null)
      .$if(version !== undefined, (query) => query.where('key_version.version', '=', version ?? ''))
      .orderBy('key_version.ordinal', 'desc')
      .limit(1)
      .executeTakeFirst();
    return row && toKeyVersion(row);
  }

  async function lockVersion(
    trx: Trx,
    name: KeyName,
    version: KeyVersionId | undefined,
  ): Promise<KeyVersion | undefined> {
    await lockKey(trx, poolId, name);
    return findVersion(trx, name, version);
  }

  async function store<Edited extends KeyVersion>(
    trx: Trx,
    current: KeyVersion,
    edited: Edited,
  ): Promise<Edited> {
    const { name, version } = current.material.identity;
    await trx
      .updateTable('key_version')
      .set(changeableOf(edited))
      .where('pool_id', '=', poolId)
      .where('name_key', '=', name.toLowerCase())
      .where('version', '=', version)
      .execute();
    if (edited.attributes.enabled !== current.attributes.enabled)
      await chooseCurrent(trx, poolId, name);
    await reschedule(trx, poolId, name);
    return edited;
  }

  /** Whether there was none of that name. */
  async function insertKey(trx: Trx, name: KeyName, version: string): Promise<boolean> {
    const { numInsertedOrUpdatedRows = 0n } = await trx
      .insertInto('key')
      .values({ pool_id: poolId, name_key: name.toLowerCase(), name, current_version: version })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    return numInsertedOrUpdatedRows > 0n;
  }

  /** Removes the key that `choose` has locked, and the grants that were made for it. */
  async function removing(
    change: AuditedChange,
    choose: (trx: Trx) => Promise<KeyName | undefined>,
  ): Promise<KeyName | undefined> {
    const principals: string[] = [];
    return changing(
      context,
      change,
      (name) => [
        changeOf(name),
        ...principals.map((id): StateChange => ({ topic: 'assignment', id })),
      ],
      async (trx) => {
        const name = await choose(trx);
        if (name === undefined) return undefined;
        // A new key of this name must not come with grants that were made for the old one.
        const removed = await trx
          .deleteFrom('role_assignment')
          .where('pool_id', '=', poolId)
          .where('scope', '=', keyScope(name))
          .returningAll()
          .execute();
        principals.push(...new Set(removed.map((row) => row.principal_id)));
        noteAlong(change, { roleAssignments: removed.map(toAssignment) });
        await doomObjectsOfKey(trx, poolId, name);
        await sql`set constraints all deferred`.execute(trx);
        await trx
          .deleteFrom('key')
          .where('pool_id', '=', poolId)
          .where('name_key', '=', name.toLowerCase())
          .execute();
        return name;
      },
    );
  }
}
