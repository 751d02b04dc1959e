import { sql } from 'kysely';
import { ServiceError } from '../../core/errors.ts';
import type { KeyMaterial } from '../../core/keys/key.ts';
import {
  type ObjectId,
  objectIdIn,
  objectsOf,
  REFERENCE_BYTES,
} from '../../core/keys/objects/object-id.ts';
import type { ObjectLedger } from '../../core/keys/objects/ports.ts';
import { reading, type StoreContext, type Trx } from '../database.ts';

/** Objects that are destroyed in one go: some milliseconds each. */
const BATCH = 20;
const CLAIM = '1 minute';
/** No process that was told to make an object lives that long without making it. */
const OLD = '1 hour';

/** Whether a row tells of the object of intent `i`: nothing that the ledger says can destroy a key that there is. */
const isInUse = sql<boolean>`exists (
  select from key_version v where v.pool_id = i.pool_id and octet_length(v.blob) = ${sql.lit(REFERENCE_BYTES)}
    and v.blob = '\\x03'::bytea || decode(i.object_id, 'hex')
  union all
  select from key_version v where v.pool_id = i.pool_id and octet_length(v.mac_blob) = ${sql.lit(REFERENCE_BYTES)}
    and v.mac_blob = '\\x03'::bytea || decode(i.object_id, 'hex')
  union all
  select from signing_key v where v.pool_id = i.pool_id and v.blob = '\\x03'::bytea || decode(i.object_id, 'hex')
  union all
  select from statement_key v where v.pool_id = i.pool_id and v.blob = '\\x03'::bytea || decode(i.object_id, 'hex'))`;

/** @param process by which it is known who was at what */
export function createObjectLedger(context: StoreContext, process: string): ObjectLedger {
  const { poolId } = context;
  return {
    begin: (objects, { name, version }) =>
      reading(context, async (db) => {
        await db
          .insertInto('hsm_object_intent')
          .values(
            objects.map((object_id) => ({
              ...{ pool_id: poolId, object_id, version, key_name: name, process },
              state: 'creating' as const,
            })),
          )
          .execute();
      }),

    giveUp: (version) =>
      reading(context, async (db) => {
        await db
          .updateTable('hsm_object_intent')
          .set({ state: 'destroying' })
          .where('pool_id', '=', poolId)
          .where('version', '=', version)
          .where('state', '=', 'creating')
          .execute();
      }),

    giveUpOlderThan: (seconds) =>
      reading(context, async (db) => {
        const { numUpdatedRows } = await db
          .updateTable('hsm_object_intent')
          .set({ state: 'destroying' })
          .where('pool_id', '=', poolId)
          .where('state', '=', 'creating')
          .where(sql<boolean>`since < clock_timestamp() - make_interval(secs => ${seconds})`)
          .executeTakeFirst();
        return Number(numUpdatedRows);
      }),

    claimDoomed: () =>
      reading(context, async (db) => {
        const { rows } = await sql<{ id: ObjectId; isOld: boolean }>`
          update hsm_object_intent set claimed_until = clock_timestamp() + ${CLAIM}::interval
          where pool_id = ${poolId} and object_id in (
            select object_id from hsm_object_intent i
            where pool_id = ${poolId} and state = 'destroying' and claimed_until < clock_timestamp()
              and not ${isInUse}
            limit ${BATCH} for update skip locked)
          returning object_id as id,
            since < clock_timestamp() - ${OLD}::interval as "isOld"`.execute(db);
        return rows;
      }),

    strike: (objects) =>
      reading(context, async (db) => {
        if (objects.length === 0) return;
        await db
          .deleteFrom('hsm_object_intent')
          .where('pool_id', '=', poolId)
          .where('object_id', 'in', [...objects])
          .execute();
      }),

    count: () =>
      reading(context, async (db) => {
        const { rows } = await sql<{ count: string }>`
          select (select count(*) from hsm_object_intent where pool_id = ${poolId})
            + (select count(*) from signing_key where pool_id = ${poolId})
            + (select count(*) from statement_key where pool_id = ${poolId})
            + (select count(*) + count(mac_blob) from key_version where pool_id = ${poolId})
            as count`.execute(db);
        return Number(rows[0]?.count);
      }),
  };
}

/**
 * Strikes a new key's objects off the ledger, in the transaction that writes its row; nothing is done for a sealed key.
 * @throws ServiceError HsmUnavailable where they have been given up meanwhile: they are being destroyed
 */
export async function settleObjects(trx: Trx, material: KeyMaterial): Promise<void> {
  const objects = objectsOf(material);
  if (objects.length === 0) return;
  const struck = await trx
    .deleteFrom('hsm_object_intent')
    .where('pool_id', '=', material.identity.pool)
    .where('version', '=', material.identity.version)
    .where('state', '=', 'creating')
    .returning('object_id')
    .execute();
  const known = new Set(struck.map(({ object_id }) => object_id));
  if (objects.some((object) => !known.has(object)))
    throw new ServiceError('HsmUnavailable', 'The HSM took too long to make the key.');
}

/** Rows of keys that are removed, of whatever table. */
interface RemovedKey {
  readonly version: string;
  readonly name: string;
  readonly blob: Buffer;
  readonly mac_blob?: Buffer | null;
}

/** Puts on the ledger that these keys' objects are to be destroyed, in the transaction that removes their rows. */
export async function doomObjects(
  trx: Trx,
  poolId: string,
  keys: readonly RemovedKey[],
): Promise<void> {
  const intents = keys.flatMap(({ version, name, blob, mac_blob }) =>
    [blob, mac_blob ?? undefined].flatMap((bytes) => {
      const object_id = bytes && objectIdIn(bytes);
      return object_id === undefined
        ? []
        : [
            {
              ...{ pool_id: poolId, object_id, version, key_name: name },
              ...{ state: 'destroying' as const, process: 'removal' },
            },
          ];
    }),
  );
  if (intents.length > 0) await trx.insertInto('hsm_object_intent').values(intents).execute();
}

/** Of a key that is about to be removed with all its versions. */
export async function doomObjectsOfKey(trx: Trx, poolId: string, name: string): Promise<void> {
  const resident = await trx
    .selectFrom('key_version')
    .select(['version', 'name_key as name', 'blob', 'mac_blob'])
    .where('pool_id', '=', poolId)
    .where('name_key', '=', name.toLowerCase())
    .where(sql<boolean>`octet_length(blob) = ${REFERENCE_BYTES}`)
    .execute();
  await doomObjects(trx, poolId, resident);
}
