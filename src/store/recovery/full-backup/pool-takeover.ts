import { sql } from 'kysely';
import { ServiceError } from '../../../core/errors.ts';
import { packBytes, unpackBytes } from '../../../core/keys/packed-bytes.ts';
import type { TakenPool } from '../../../core/recovery/full-backup/pool-store.ts';
import type { Trx } from '../../database.ts';
import { ARCHIVED_TABLES } from './archive-tables.ts';
import { raiseCounts } from './pool-replacement.ts';
import { insertMissing, removeAll } from './row-replacement.ts';
import { toHex } from './sealed-json.ts';

/** Tables that a takeover fills by itself. */
const BY_HAND = new Set([
  'pool',
  'root_generation',
  'retired_root_generation',
  'backup_keys',
  'gcm_use',
]);

/** Of the pool that gives way nothing stays but its audit log and what that is verified by. */
const REMOVED = ARCHIVED_TABLES.filter(({ onRestore }) => onRestore === 'replaced').toReversed();

/**
 * Another pool takes the place of one that holds no keys: its name and its clients.
 * @throws ServiceError Conflict
 */
export async function takeOver(trx: Trx, fromPoolId: string, pool: TakenPool): Promise<void> {
  await requireRoom(trx, fromPoolId, pool.poolId);
  for (const table of REMOVED) await removeAll(trx, table, fromPoolId);
  for (const table of ['uploaded_domain', 'pending_root_generation'] as const)
    await trx.deleteFrom(table).where('pool_id', '=', fromPoolId).execute();
  const given = await giveUpPlace(trx, fromPoolId);
  await insertPool(trx, given, pool);
  for (const table of ARCHIVED_TABLES)
    if (!BY_HAND.has(table.name)) await insertMissing(trx, table, pool.poolId);
  await raiseCounts(trx);
  await insertCheckpoints(trx, pool);
  await indexWitnesses(trx, pool.poolId);
}

async function requireRoom(trx: Trx, fromPoolId: string, poolId: string): Promise<void> {
  const { rows } = await sql<{ hasKeys: boolean; other: string | null }>`
    select exists (select from key where pool_id = ${fromPoolId}) as "hasKeys",
      (select name from pool where id = ${poolId}) as other`.execute(trx);
  const [{ hasKeys, other } = { hasKeys: true, other: null }] = rows;
  if (hasKeys)
    throw new ServiceError(
      'Conflict',
      'This pool holds keys, and another pool cannot take its place: restore into a fresh one.',
    );
  if (other !== null)
    throw new ServiceError(
      'Conflict',
      `The pool of the backup is in this database already, as "${other}" (STRONGROOM_POOL): restore it there.`,
    );
  await requireDirectories(trx, fromPoolId);
}

/** Pools go by the directory of another one of their tenant, whose place must not be taken by the directory of another tenant. */
async function requireDirectories(trx: Trx, fromPoolId: string): Promise<void> {
  const { rows } = await sql<{ followers: number; homes: string[] | null; isHome: boolean }>`
    with taken as (
      select (row ->> 'tenant_id')::uuid as tenant, coalesce((row ->> 'is_home')::boolean, true) as is_home
      from staged where source = 'pool'
    )
    select taken.is_home as "isHome",
      (select count(*)::integer from pool own join pool p on p.tenant_id = own.tenant_id and p.id <> own.id
        where own.id = ${fromPoolId} and own.is_home is not false and own.tenant_id <> taken.tenant) as followers,
      (select array_agg(p.name) from pool p
        where p.id <> ${fromPoolId} and p.tenant_id = taken.tenant and p.is_home is not false) as homes
    from taken`.execute(trx);
  const [{ followers, homes, isHome } = { followers: 0, homes: null, isHome: true }] = rows;
  if (followers > 0)
    throw new ServiceError(
      'Conflict',
      `Other pools (${followers}) go by the directory of this one, and the backup is of another tenant: restore into a pool that no other goes by.`,
    );
  if (isHome && homes !== null)
    throw new ServiceError(
      'Conflict',
      `The backup holds the directory of a tenant whose directory is here already, in the pool "${homes.join('", "')}".`,
    );
  if (!isHome && homes === null)
    throw new ServiceError(
      'Conflict',
      'The pool of the backup goes by the directory of another one, which is not here: restore that one first.',
    );
}

/** What of a pool is the deployment's, and not the backup's. */
interface Place {
  readonly name: string;
  readonly token_label: string | null;
}

/** It is served no more, but its audit log stays. @returns what the other takes over */
async function giveUpPlace(trx: Trx, poolId: string): Promise<Place> {
  const { rows } = await sql<Place>`
    update pool p set name = old.name || '-before-restore-' || to_char(now(), 'YYYYMMDDHH24MISS'),
      deleted_at = now()
    from pool old where p.id = ${poolId} and old.id = p.id returning old.name, old.token_label`.execute(
    trx,
  );
  const [place] = rows;
  if (place === undefined)
    throw new ServiceError('PoolNotFound', 'The pool is not there any more.');
  return place;
}

async function insertPool(trx: Trx, place: Place, pool: TakenPool): Promise<void> {
  const { poolId, rootGeneration, rootCheck } = pool;
  const overrides = JSON.stringify({
    ...place,
    deleted_at: null,
    purge_at: null,
    root_generation: rootGeneration,
    root_check: toHex(rootCheck),
    activation: 'domain',
    restoring_since: null,
    restores: null,
  });
  await sql`
    insert into pool select v.* from staged s
    cross join lateral jsonb_populate_record(null::pool, s.row || ${overrides}::jsonb) v
    where s.source = 'pool'`.execute(trx);
  await sql`
    insert into root_generation (pool_id, number, root_check, made_at, is_kept, opens_backups)
    select ${poolId}, ${rootGeneration}, ${Buffer.from(rootCheck)}, coalesce(v.made_at, now()),
      false, coalesce(v.opens_backups, false)
    from (select) one left join (
      select g.* from staged s
      cross join lateral jsonb_populate_record(null::root_generation, s.row) g
      where s.source = 'root_generation') v on v.number = ${rootGeneration}`.execute(trx);
  // Those that were about to be destroyed are in another HSM, or nowhere.
  await sql`
    insert into retired_root_generation select v.* from staged s
    cross join lateral jsonb_populate_record(null::retired_root_generation, s.row) v
    where s.source = 'retired_root_generation' and v.destroyed_at is not null
      and v.number <> ${rootGeneration}`.execute(trx);
  for (const [index, { identity, sealed }] of pool.backupKeys.entries())
    await sql`
      insert into backup_keys (pool_id, version, root_generation, blob, mac_blob, seal, made_at)
      select ${poolId}, ${identity.version}::text, ${sealed.rootGeneration}::integer, ${unpackBytes(sealed.blob)}::bytea,
        ${unpackBytes(sealed.macBlob ?? packBytes(new Uint8Array()))}::bytea, ${unpackBytes(sealed.seal)}::bytea,
        coalesce((
          select (row ->> 'made_at')::timestamptz from staged
          where source = 'backup_keys' and row ->> 'version' = ${identity.version}),
          now() + make_interval(secs => ${index}::double precision / 1000))`.execute(trx);
}

async function insertCheckpoints(trx: Trx, { poolId, checkpoints }: TakenPool): Promise<void> {
  for (const { checkpoint, heads, isRetention } of checkpoints) {
    const number = String(checkpoint.number);
    await trx
      .insertInto('audit_checkpoint')
      .values({
        pool_id: poolId,
        number,
        time: checkpoint.time,
        statement: checkpoint.jws,
        is_retention: isRetention,
      })
      .execute();
    for (const { chain, sequence, ends } of heads)
      await trx
        .insertInto('audit_checkpoint_head')
        .values({ pool_id: poolId, chain, number, sequence: String(sequence), ends })
        .execute();
  }
}

/** As each record was written with its place in the index (src/store/audit/audit-rows.ts). */
async function indexWitnesses(trx: Trx, poolId: string): Promise<void> {
  await sql`
    insert into audit_witness
      (pool_id, source, row_key, revision, before, after, found, chain, sequence, time)
    select e.pool_id, w."table", w."row", w.revision, w.before, w.after, w.found, e.chain, e.sequence, e.time
    from audit_event e cross join lateral jsonb_to_recordset(e.witnessed) as w
      ("table" text, "row" text, revision bigint, before text, after text, found text)
    where e.pool_id = ${poolId} and e.witnessed is not null`.execute(trx);
}
