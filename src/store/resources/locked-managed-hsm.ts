import { randomUUID } from 'node:crypto';
import type { SelectQueryBuilder } from 'kysely';
import type { ManagedHsm } from '../../core/resources/managed-hsm.ts';
import type { HsmChange, PresentHsm } from '../../core/resources/ports.ts';
import type { Trx } from '../database.ts';
import type { ManagedHsmRow, Tables } from '../tables.ts';
import { columnsOf, toManagedHsm } from './managed-hsm-rows.ts';

type Rows = SelectQueryBuilder<Tables, 'managed_hsm', ManagedHsmRow>;

/** Those that `narrow` leaves, as they are until the transaction ends, by name. */
export async function lockManagedHsms(
  trx: Trx,
  poolId: string,
  narrow: (query: Rows) => Rows,
): Promise<readonly PresentHsm[]> {
  const all = trx.selectFrom('managed_hsm').selectAll().where('pool_id', '=', poolId);
  const rows = await narrow(all).orderBy('name_key').forUpdate().execute();
  if (rows.length === 0) return [];
  const running = await trx
    .selectFrom('managed_hsm_operation')
    .select('name_key')
    .where('pool_id', '=', poolId)
    .where('status', '=', 'running')
    .where(
      'name_key',
      'in',
      rows.map((row) => row.name_key),
    )
    .execute();
  const underOperation = new Set(running.map((row) => row.name_key));
  return rows.map((row) => ({
    hsm: toManagedHsm(row),
    isUnderOperation: underOperation.has(row.name_key),
  }));
}

/** @returns the operation that has begun, where one has */
export async function applyChange(
  trx: Trx,
  poolId: string,
  present: ManagedHsm | undefined,
  change: HsmChange,
): Promise<string | undefined> {
  const { hsm } = change;
  if (hsm === undefined) {
    await trx
      .deleteFrom('managed_hsm')
      .where('pool_id', '=', poolId)
      .where('name_key', '=', present?.name.toLowerCase() ?? '')
      .execute();
    return undefined;
  }
  const nameKey = hsm.name.toLowerCase();
  if (present === undefined)
    await trx
      .insertInto('managed_hsm')
      .values({ pool_id: poolId, name_key: nameKey, ...columnsOf(hsm) })
      .execute();
  else
    await trx
      .updateTable('managed_hsm')
      .set(columnsOf(hsm))
      .where('pool_id', '=', poolId)
      .where('name_key', '=', nameKey)
      .execute();
  if (change.begins === undefined) return undefined;
  const id = randomUUID();
  await trx
    .insertInto('managed_hsm_operation')
    .values({
      pool_id: poolId,
      id,
      kind: change.begins,
      subscription_id: hsm.subscriptionId,
      group_name: hsm.groupName,
      name_key: nameKey,
      name: hsm.name,
      status: 'running',
    })
    .execute();
  return id;
}
