import {
  type RateLimiterAbstract,
  RateLimiterMemory,
  RateLimiterPostgres,
} from 'rate-limiter-flexible';
import type { StoreContext } from '../database.ts';
import { POOLS } from '../prepared-query.ts';

/** So many in so long, by a name of its own. */
export interface CounterOptions {
  readonly name: string;
  readonly points: number;
  readonly durationSeconds: number;
}

/**
 * Counters that all processes of the pool share, on whatever machines. While the database is away each process counts for
 * itself.
 */
export function createSignInCounters({ db, poolId }: Pick<StoreContext, 'db' | 'poolId'>) {
  const storeClient = POOLS.get(db);
  let clearsExpired = true;
  return ({ name, points, durationSeconds: duration }: CounterOptions): RateLimiterAbstract => {
    const keyPrefix = `${poolId}:${name}`;
    const counter = new RateLimiterPostgres({
      storeClient,
      storeType: 'pool',
      tableName: 'sign_in_counter',
      tableCreated: true,
      // Of all that are in the table: one is enough.
      clearExpiredByTimeout: clearsExpired,
      keyPrefix,
      points,
      duration,
      insuranceLimiter: new RateLimiterMemory({ keyPrefix, points, duration }),
    });
    clearsExpired = false;
    return counter;
  };
}
