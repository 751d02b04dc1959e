import type { Insertable } from 'kysely';
import type { KeyName, KeyVersion } from '../../core/keys/key.ts';
import {
  dueTimes,
  type LifetimeAction,
  type RotationPolicy,
} from '../../core/keys/rotation/rotation.ts';
import type { Trx } from '../database.ts';
import { versionsOf } from './key-reader.ts';
import { toKeyVersion } from './key-rows.ts';
import type { RotationPolicyRow, Tables } from '../tables.ts';

export function toRotationPolicy(row: RotationPolicyRow): RotationPolicy {
  return {
    actions: row.actions as LifetimeAction[],
    ...(row.expiry_time !== null && { expiryTime: row.expiry_time }),
    created: Number(row.created),
    updated: Number(row.updated),
  };
}

export function fromRotationPolicy(
  poolId: string,
  name: KeyName,
  policy: RotationPolicy,
): Insertable<Tables['rotation_policy']> {
  return {
    pool_id: poolId,
    name_key: name.toLowerCase(),
    actions: JSON.stringify(policy.actions),
    expiry_time: policy.expiryTime ?? null,
    created: policy.created,
    updated: policy.updated,
  };
}

/** The newest version of a key, enabled or not. */
export async function newestOf(
  trx: Trx,
  poolId: string,
  name: KeyName,
): Promise<KeyVersion | undefined> {
  const row = await versionsOf(trx, poolId, name)
    .orderBy('key_version.ordinal', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row && toKeyVersion(row);
}

/** Works out when a key is due; after every change of its policy, of its newest version, or of which one that is. */
export async function reschedule(trx: Trx, poolId: string, name: KeyName): Promise<void> {
  const row = await trx
    .selectFrom('rotation_policy')
    .selectAll()
    .where('pool_id', '=', poolId)
    .where('name_key', '=', name.toLowerCase())
    .executeTakeFirst();
  if (row === undefined) return;
  const newest = await newestOf(trx, poolId, name);
  if (newest === undefined) return;
  const { rotateAt, notifyAt } = dueTimes(toRotationPolicy(row), newest.attributes);
  const isTold =
    row.notified_version === newest.material.identity.version &&
    Number(row.notified_for) === notifyAt;
  await trx
    .updateTable('rotation_policy')
    .set({ rotate_at: rotateAt ?? null, notify_at: isTold ? null : (notifyAt ?? null) })
    .where('pool_id', '=', poolId)
    .where('name_key', '=', name.toLowerCase())
    .execute();
}
