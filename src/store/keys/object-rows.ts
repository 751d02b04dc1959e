import { sql } from 'kysely';
import type { ObjectId } from '../../core/keys/objects/object-id.ts';
import { objectIdIn, REFERENCE_BYTES } from '../../core/keys/objects/object-id.ts';
import { reading, type StoreContext } from '../database.ts';

/** An object that the ledger tells of, and no key's row. */
interface RecordedIntent {
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
  readonly intents: readonly RecordedIntent[];
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
        const intents = await sql<RecordedIntent>`
          select object_id as id, state, key_name as "keyName", process,
            extract(epoch from clock_timestamp() - since)::int as "ageSeconds"
          from hsm_object_intent where pool_id = ${poolId} order by since`.execute(trx);
        const kept = rows.rows.flatMap(({ blob, owner }) => {
          const id = objectIdIn(blob);
          return id === undefined ? [] : [[id, owner] as const];
        });
        return { kept: new Map(kept), intents: intents.rows };
      }),
  );
}
