import type { KeyName } from '../../core/keys/key.ts';
import type { RotatingKey, RotationStore } from '../../core/keys/ports.ts';
import { keyScope } from '../../core/access/role.ts';
import { changing, reading, type StoreContext, type Trx } from '../database.ts';
import { isDeleted, lockKey } from './locked-key.ts';
import { fromRotationPolicy, newestOf, reschedule, toRotationPolicy } from './rotation-rows.ts';

export function createRotationStore(context: StoreContext): RotationStore {
  const { poolId } = context;

  async function rotatingKey(trx: Trx, name: KeyName): Promise<RotatingKey | undefined> {
    const newest = await newestOf(trx, poolId, name);
    if (newest === undefined) return undefined;
    const row = await trx
      .selectFrom('rotation_policy')
      .selectAll()
      .where('pool_id', '=', poolId)
      .where('name_key', '=', name.toLowerCase())
      .executeTakeFirst();
    return { newest, ...(row !== undefined && { policy: toRotationPolicy(row) }) };
  }

  /** The policy that has been due longest and that no other transaction is looking at. */
  function firstDue(trx: Trx, column: 'rotate_at' | 'notify_at', now: number) {
    return trx
      .selectFrom('rotation_policy')
      .innerJoin('key', (join) =>
        join
          .onRef('key.pool_id', '=', 'rotation_policy.pool_id')
          .onRef('key.name_key', '=', 'rotation_policy.name_key'),
      )
      .select(['key.name', 'rotation_policy.notify_at'])
      .where('rotation_policy.pool_id', '=', poolId)
      .where(`rotation_policy.${column}`, '<=', String(now))
      .where('key.deleted_at', 'is', null)
      .orderBy(`rotation_policy.${column}`)
      .limit(1)
      .forUpdate('rotation_policy')
      .skipLocked();
  }

  return {
    findRotatingKey: (name) =>
      reading(context, (db) =>
        db.transaction().execute(async (trx) => {
          const found = await trx
            .selectFrom('key')
            .select('deleted_at')
            .where('pool_id', '=', poolId)
            .where('name_key', '=', name.toLowerCase())
            .executeTakeFirst();
          if (found === undefined || isDeleted(found)) return undefined;
          return rotatingKey(trx, name);
        }),
      ),

    async putPolicy(name, policy, change) {
      const put = await changing(
        context,
        change,
        { topic: 'key', id: name.toLowerCase() },
        async (trx) => {
          const key = await lockKey(trx, poolId, name);
          if (key === undefined || isDeleted(key)) return undefined;
          await trx
            .deleteFrom('rotation_policy')
            .where('pool_id', '=', poolId)
            .where('name_key', '=', key.name_key)
            .execute();
          if (policy !== undefined) {
            await trx
              .insertInto('rotation_policy')
              .values(fromRotationPolicy(poolId, name, policy))
              .execute();
            await reschedule(trx, poolId, name);
          }
          return true;
        },
      );
      return put === true;
    },

    claimDueRotation: (now, claimedUntil) =>
      reading(context, (db) =>
        db.transaction().execute(async (trx) => {
          const due = await firstDue(trx, 'rotate_at', now)
            .where('rotation_policy.claimed_until', '<=', String(now))
            .executeTakeFirst();
          if (due === undefined) return undefined;
          const name = due.name as KeyName;
          await trx
            .updateTable('rotation_policy')
            .set({ claimed_until: String(claimedUntil) })
            .where('pool_id', '=', poolId)
            .where('name_key', '=', name.toLowerCase())
            .execute();
          return rotatingKey(trx, name);
        }),
      ),

    takeDueNotice: (now, change) =>
      changing(
        context,
        change,
        () => [],
        async (trx) => {
          const due = await firstDue(trx, 'notify_at', now).executeTakeFirst();
          if (due === undefined) return undefined;
          const name = due.name as KeyName;
          const newest = await newestOf(trx, poolId, name);
          if (newest === undefined) return undefined;
          const { version } = newest.material.identity;
          await trx
            .updateTable('rotation_policy')
            .set({
              notify_at: null,
              notified_version: version,
              notified_for: Number(due.notify_at),
            })
            .where('pool_id', '=', poolId)
            .where('name_key', '=', name.toLowerCase())
            .execute();
          change.note({ keyName: name, keyVersion: version, scope: keyScope(name) });
          return newest;
        },
      ),
  };
}
