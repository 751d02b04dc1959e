import { sql } from 'kysely';
import type { Trx } from '../database.ts';

/**
 * Held until the end of the transaction, and taken before anything else in it. What a change of the directory was allowed
 * by (what its target holds, and that another Administrator is left) must not change before it commits: such changes take
 * turns. Changes of roles and assignments, which don't ask that, wait for them and not for each other.
 */
export async function lockGrants(
  trx: Trx,
  poolId: string,
  mode: 'exclusive' | 'shared',
): Promise<void> {
  const key = sql`hashtextextended(${`grants ${poolId}`}, 0)`;
  await (
    mode === 'shared'
      ? sql`select pg_advisory_xact_lock_shared(${key})`
      : sql`select pg_advisory_xact_lock(${key})`
  ).execute(trx);
}
