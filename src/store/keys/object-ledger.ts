import { type Kysely, sql } from 'kysely';
import { ServiceError } from '../../core/errors.ts';
import type { KeyMaterial } from '../../core/keys/key.ts';
import { objectIdIn, objectsOf, REFERENCE_BYTES } from '../../core/keys/objects/object-id.ts';
import type { ObjectPermit } from '../../core/keys/objects/permit.ts';
import type { ObjectLedger } from '../../core/keys/objects/ports.ts';
import { reading, type StoreContext, type Trx } from '../database.ts';
import type { Tables } from '../tables.ts';
import { toKeyVersion } from './key-rows.ts';
import { versionsOf } from './key-reader.ts';
import { CLAIM_COLUMNS, type ClaimRow, toClaim } from './object-claims.ts';

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
    begin: (objects, { name, version }, room) =>
      reading(context, (db) =>
        db.transaction().execute(async (trx) => {
          const count =
            room === undefined ? 0 : objects.length + (await countAlone(trx, context.poolId));
          if (room !== undefined && count > room) return count;
          const made = objects.map((permit) => ({
            ...{ pool_id: poolId, version, key_name: name, process, ...toRow(permit) },
            state: 'creating' as const,
          }));
          await trx.insertInto('hsm_object_intent').values(made).execute();
          return count;
        }),
      ),

    giveUp: (version, isOver) =>
      reading(context, async (db) => {
        await db
          .updateTable('hsm_object_intent')
          .set({ state: 'destroying', is_over: isOver })
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
        const { rows } = await sql<ClaimRow & { isOver: boolean }>`
          update hsm_object_intent i set claimed_until = clock_timestamp() + ${CLAIM}::interval
          where i.pool_id = ${poolId} and i.object_id in (
            select object_id from hsm_object_intent i
            where pool_id = ${poolId} and state = 'destroying' and claimed_until < clock_timestamp()
              and not ${isInUse}
            limit ${BATCH} for update skip locked)
          returning ${CLAIM_COLUMNS},
            is_over or since < clock_timestamp() - ${OLD}::interval as "isOver"`.execute(db);
        return rows.map((row) => ({ ...toClaim(row), isOver: row.isOver }));
      }),

    permit: (objects) =>
      reading(context, (db) =>
        db.transaction().execute(async (trx) => {
          for (const permit of objects)
            await trx
              .updateTable('hsm_object_intent')
              .set({ ...toRow(permit), claimed_until: sql`'-infinity'` })
              .where('pool_id', '=', poolId)
              .where('object_id', '=', permit.id)
              .where('state', '=', 'destroying')
              .execute();
        }),
      ),

    retain: (objects) =>
      reading(context, (db) =>
        db.transaction().execute(async (trx) => {
          for (const permit of objects) {
            const { name, version } = permit;
            const stated = toRow(permit);
            await trx
              .insertInto('hsm_object_intent')
              .values({
                ...{ pool_id: poolId, version, key_name: name, process, ...stated },
                state: 'retained',
              })
              .onConflict((conflict) =>
                conflict
                  .columns(['pool_id', 'object_id'])
                  .doUpdateSet(stated)
                  .where('hsm_object_intent.state', '=', 'retained'),
              )
              .execute();
          }
        }),
      ),

    setAside: (objects) =>
      reading(context, async (db) => {
        await db
          .updateTable('hsm_object_intent')
          .set({ claimed_until: sql`'infinity'` })
          .where('pool_id', '=', poolId)
          .where('object_id', 'in', [...objects])
          .execute();
      }),

    findMaterials: (name) =>
      reading(context, async (db) => {
        const rows = await versionsOf(db, poolId, name).execute();
        const materials = rows.map((row) => toKeyVersion(row).material);
        return materials.filter((material) => objectsOf(material).length > 0);
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

    noteAbsent: (objects) =>
      reading(context, async (db) => {
        if (objects.length === 0) return;
        await db
          .updateTable('hsm_object_intent')
          .set({ is_absent: true })
          .where('pool_id', '=', poolId)
          .where('object_id', 'in', [...objects])
          .execute();
      }),

    count: () => reading(context, (db) => countObjects(db, poolId)),
  };
}

function toRow({ id, kind, time, proof }: ObjectPermit) {
  const permit = { permit: kind, permit_time: String(time), permit_proof: Buffer.from(proof) };
  return { object_id: id, ...permit };
}

/** While this transaction lasts, nobody else counts so: two who both take the last place must not both be refused. */
async function countAlone(trx: Trx, poolId: string): Promise<number> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`objects ${poolId}`}, 0))`.execute(trx);
  return countObjects(trx, poolId);
}

async function countObjects(db: Kysely<Tables>, poolId: string): Promise<number> {
  const { rows } = await sql<{ count: string }>`
    select (select count(*) from hsm_object_intent where pool_id = ${poolId} and not is_absent
        and state <> 'retained')
      + (select count(*) from signing_key where pool_id = ${poolId})
      + (select count(*) from statement_key where pool_id = ${poolId})
      + (select count(*) + count(mac_blob) from key_version where pool_id = ${poolId})
      as count`.execute(db);
  return Number(rows[0]?.count);
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
  const doomed = keys.flatMap(({ version, name, blob, mac_blob }) =>
    [blob, mac_blob ?? undefined].flatMap((bytes) => {
      const id = bytes && objectIdIn(bytes);
      return id === undefined ? [] : [{ id, version, name }];
    }),
  );
  if (doomed.length === 0) return;
  const column = (name: keyof (typeof doomed)[number]) => doomed.map((object) => object[name]);
  // Arrays: a key may have more objects than a statement may have parameters.
  await sql`
    insert into hsm_object_intent (pool_id, object_id, version, key_name, state, process, is_over)
    select ${poolId}, id, version, name, 'destroying', 'removal', true
    from unnest(${column('id')}::text[], ${column('version')}::text[], ${column('name')}::text[])
      as doomed (id, version, name)
    on conflict (pool_id, object_id) do update set state = 'destroying', is_over = true`.execute(
    trx,
  );
}

/** Takes back what permits the objects of a deleted key to be destroyed, in the transaction that recovers it. */
export async function recoverObjects(trx: Trx, poolId: string, name: string): Promise<void> {
  await trx
    .deleteFrom('hsm_object_intent')
    .where('pool_id', '=', poolId)
    .where('state', '=', 'retained')
    .where(
      sql<boolean>`version in (
      select v.version from key_version v where v.pool_id = ${poolId} and v.name_key = ${name.toLowerCase()})`,
    )
    .execute();
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
