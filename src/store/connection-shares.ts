import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { ServiceError } from '../core/errors.ts';
import { FairQueue } from '../core/fair-queue.ts';
import { fromDriver } from './errors.ts';
import { POOLS } from './prepared-query.ts';
import type { Tables } from './tables.ts';

export interface SharesOptions {
  /** Connections that `db` has at most. */
  readonly connections: number;
  /** How many may wait for one, of all pools. */
  readonly waiting: number;
  readonly waitMs: number;
}

/** The connections of a process, shared out between its pools. */
export interface ConnectionShares {
  /** The same database by one pool's share: what it waits for it waits for by itself. It isn't to be destroyed. */
  of(poolId: string): Kysely<Tables>;
  leave(poolId: string): void;
}

/** Of which a pool among others leaves some, so that statements that take long never hold them all. */
const LEFT = 2;

interface Waiting {
  readonly poolId: string;
  readonly go: () => void;
}

/**
 * Pools take turns at connections. One that is alone may have all.
 * @throws ServiceError StoreUnavailable, from a share, where too many wait, or too long
 */
export function shareConnections(
  db: Kysely<Tables>,
  { connections, waiting, waitMs }: SharesOptions,
): ConnectionShares {
  const pool = POOLS.get(db);
  if (!(pool instanceof pg.Pool))
    throw new TypeError('only what openDatabase has opened is shared');
  const queue = new FairQueue<Waiting>();
  const held = new Map<string, number>();
  let inUse = 0;

  const heldBy = (poolId: string) => held.get(poolId) ?? 0;
  const mayHave = (poolId: string) =>
    inUse < connections &&
    heldBy(poolId) < (held.size > 1 ? Math.max(1, connections - LEFT) : connections);

  function take(poolId: string): void {
    inUse += 1;
    held.set(poolId, heldBy(poolId) + 1);
  }

  /** Whoever has as many as it may is passed over, and keeps its place. */
  function giveOn(): void {
    const passed: Waiting[] = [];
    while (inUse < connections) {
      const next = queue.shift();
      if (next === undefined) break;
      if (mayHave(next.poolId)) next.go();
      else passed.push(next);
    }
    for (const one of passed) queue.push(one.poolId, one);
  }

  function giveBack(poolId: string): void {
    inUse -= 1;
    if (held.has(poolId)) held.set(poolId, heldBy(poolId) - 1);
    giveOn();
  }

  async function acquire(poolId: string): Promise<void> {
    if (mayHave(poolId) && queue.lengthOf(poolId) === 0) {
      take(poolId);
      return;
    }
    if (queue.size >= waiting) throw busy();
    await new Promise<void>((resolve, reject) => {
      const one: Waiting = {
        poolId,
        go: () => {
          clearTimeout(timer);
          take(poolId);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        queue.remove(poolId, one);
        reject(busy());
      }, waitMs);
      queue.push(poolId, one);
    });
  }

  async function connect(poolId: string, from: pg.Pool): Promise<pg.PoolClient> {
    await acquire(poolId);
    try {
      const client = await from.connect();
      const release = client.release.bind(client);
      let isReleased = false;
      client.release = (error) => {
        release(error);
        if (!isReleased) giveBack(poolId);
        isReleased = true;
      };
      return client;
    } catch (error) {
      giveBack(poolId);
      throw fromDriver(error);
    }
  }

  async function query<Row extends pg.QueryResultRow>(
    poolId: string,
    from: pg.Pool,
    config: pg.QueryConfig,
  ): Promise<pg.QueryResult<Row>> {
    await acquire(poolId);
    try {
      return await from.query<Row>(config);
    } finally {
      giveBack(poolId);
    }
  }

  return {
    of(poolId) {
      held.set(poolId, heldBy(poolId));
      const share = new Kysely<Tables>({
        dialect: new PostgresDialect({
          pool: { connect: () => connect(poolId, pool), end: () => Promise.resolve() },
        }),
      });
      POOLS.set(share, { query: (config) => query(poolId, pool, config) });
      return share;
    },
    leave(poolId) {
      held.delete(poolId);
    },
  };
}

function busy(): ServiceError {
  return new ServiceError(
    'StoreUnavailable',
    'All connections to the database are in use: too many requests wait for one.',
  );
}
