import { sql } from 'kysely';
import type { KeyMaterial } from '../../core/keys/key.ts';
import type { ObjectId } from '../../core/keys/objects/object-id.ts';
import { objectIdIn, REFERENCE_BYTES } from '../../core/keys/objects/object-id.ts';
import type { PermitClaim } from '../../core/keys/objects/permit.ts';
import { reading, type StoreContext } from '../database.ts';
import { toSigningMaterial } from '../directory/token-signing-key-store.ts';
import { toCertifiedMaterial } from '../pool/certified-key-store.ts';
import { toKeyVersion } from './key-rows.ts';
import { CLAIM_COLUMNS, type ClaimRow, toClaim } from './object-claims.ts';

/** An object that the ledger tells of, and no key's row. */
export interface RecordedIntent extends PermitClaim {
  readonly id: ObjectId;
  readonly state: 'creating' | 'destroying';
  readonly keyName: string;
  readonly process: string;
  readonly ageSeconds: number;
}

/** All that the store knows of a resident pool's objects, of one moment. */
export interface ObjectRows {
  /** What rows tell of, and whose they are. */
  readonly kept: ReadonlyMap<ObjectId, string>;
  /** Rows of which several tell of one object: one at most can be right. */
  readonly rivals: readonly string[];
  readonly intents: readonly RecordedIntent[];
}

/** All keys that the pool has, of whatever table, as they stand there. */
export async function readAllMaterials(context: StoreContext): Promise<readonly KeyMaterial[]> {
  const { poolId } = context;
  const versions = await reading(context, (db) =>
    db
      .selectFrom('key_version')
      .innerJoin('key', (join) =>
        join
          .onRef('key.pool_id', '=', 'key_version.pool_id')
          .onRef('key.name_key', '=', 'key_version.name_key'),
      )
      .selectAll('key_version')
      .select('key.name')
      .where('key_version.pool_id', '=', poolId)
      .execute(),
  );
  const statements = await reading(context, (db) =>
    db.selectFrom('statement_key').selectAll().where('pool_id', '=', poolId).execute(),
  );
  const signing = await reading(context, (db) =>
    db.selectFrom('signing_key').selectAll().where('pool_id', '=', poolId).execute(),
  );
  return [
    ...versions.map((row) => toKeyVersion(row).material),
    ...statements.map(toCertifiedMaterial),
    ...signing.map(toSigningMaterial),
  ];
}

export function readObjectRows({
  db,
  poolId,
}: Pick<StoreContext, 'db' | 'poolId'>): Promise<ObjectRows> {
  return reading({ db }, (connection) =>
    connection
      .transaction()
      .setIsolationLevel('repeatable read')
      .execute(async (trx) => {
        const rows = await sql<{ blob: Buffer; owner: string }>`
          select blob, name_key || '/' || version as owner from key_version where pool_id = ${poolId}
            and octet_length(blob) = ${REFERENCE_BYTES}
          union all
          select mac_blob, name_key || '/' || version from key_version where pool_id = ${poolId}
            and octet_length(mac_blob) = ${REFERENCE_BYTES}
          union all
          select blob, 'signing key ' || version from signing_key where pool_id = ${poolId}
          union all
          select blob, purpose || ' key ' || version from statement_key where pool_id = ${poolId}`.execute(
          trx,
        );
        const intents = await sql<
          ClaimRow & Pick<RecordedIntent, 'state' | 'process' | 'ageSeconds'>
        >`
          select ${CLAIM_COLUMNS}, state, process,
            extract(epoch from clock_timestamp() - since)::int as "ageSeconds"
          from hsm_object_intent i where pool_id = ${poolId} and state <> 'retained'
          order by since`.execute(trx);
        const kept = rows.rows.flatMap(({ blob, owner }) => {
          const id = objectIdIn(blob);
          return id === undefined ? [] : [[id, owner] as const];
        });
        const owners = new Map<ObjectId, string[]>();
        for (const [id, owner] of kept) owners.set(id, [...(owners.get(id) ?? []), owner]);
        const rivals = [...owners.values()].filter((of) => of.length > 1).flat();
        return {
          ...{ kept: new Map(kept), rivals },
          intents: intents.rows.map((row) => ({
            ...toClaim(row),
            ...{ state: row.state, process: row.process, ageSeconds: row.ageSeconds },
            keyName: row.name,
          })),
        };
      }),
  );
}

/**
 * Rows of keys that are missing: the newest record of each says that it is there. Whoever takes a row away behind the
 * service's back makes its object look as if no key needed it.
 */
export async function findMissingKeys({
  db,
  poolId,
}: Pick<StoreContext, 'db' | 'poolId'>): Promise<readonly string[]> {
  return reading({ db }, async (connection) => {
    const { rows } = await sql<{ row: string }>`
      with newest as (
        select distinct on (source, row_key) source, row_key, after from audit_witness
        where pool_id = ${poolId} and source in ('key_version', 'signing_key', 'statement_key')
        order by source, row_key, revision desc)
      select source || ' ' || row_key as row from newest
      where after is not null and (source, row_key) not in (
        select 'key_version', jsonb_build_array(name_key, version)::text from key_version
          where pool_id = ${poolId}
        union all
        select 'signing_key', jsonb_build_array(version)::text from signing_key
          where pool_id = ${poolId}
        union all
        select 'statement_key', jsonb_build_array(version)::text from statement_key
          where pool_id = ${poolId})`.execute(connection);
    return rows.map(({ row }) => row);
  });
}
