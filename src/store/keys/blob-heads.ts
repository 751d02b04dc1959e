import { sql } from 'kysely';
import type { BlobHead } from '../../core/keys/blob-head.ts';
import type { StoreContext } from '../database.ts';

/** How many keys there are by the heads of their blobs, the pool's own among them. All rows are read. */
export async function countBlobHeads({
  db,
  poolId,
}: Pick<StoreContext, 'db' | 'poolId'>): Promise<
  readonly (BlobHead & { readonly keys: number })[]
> {
  const { rows } = await sql<{ isMultipleOf8: boolean; firstByte: number; keys: string }>`
    select octet_length(blob) % 8 = 0 as "isMultipleOf8",
      case when octet_length(blob) % 8 = 0 then 0 else get_byte(substr(blob, 1, 1), 0) end as "firstByte",
      count(*) as keys
    from (
      select blob from key_version where pool_id = ${poolId}
      union all select blob from signing_key where pool_id = ${poolId}
      union all select blob from statement_key where pool_id = ${poolId}
    ) as sealed
    group by 1, 2`.execute(db);
  return rows.map(({ keys, ...head }) => ({ ...head, keys: Number(keys) }));
}
