import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { ServiceError } from '../core/errors.ts';
import { poolNotFound } from '../core/pool/pool-gate.ts';
import { repeat } from '../core/repeating.ts';
import type { OtherPools } from '../http/app.ts';
import type { Pool } from '../store/pool/pool-store.ts';
import { LIMITS } from './limits.ts';
import type { ServedPool } from './served-pool.ts';

export interface PoolsParts {
  /** The pools of the database. */
  readonly list: () => Promise<readonly Pool[]>;
  /** @param home the pool that keeps the directory by which this one goes; undefined for one that keeps its own */
  readonly open: (pool: Pool, home: ServedPool | undefined) => Promise<ServedPool>;
  /** Else each is opened when it is first asked for. */
  readonly opensAtStart: boolean;
  /** Milliseconds of a clock that only ever goes on. */
  readonly steadyMs: () => number;
  readonly log: Logger;
}

/** A pool besides the default one. */
interface Entry {
  pool: Pool;
  served?: ServedPool;
  opening?: Promise<ServedPool | undefined>;
  /** It isn't tried again before. */
  triedAgainAt: number;
  wait: number;
}

/** The pools that a worker process serves; the default one, without which it doesn't start, is always there. */
export interface Pools {
  /** At once, where the pool is open; undefined where there is none of the name, or it can't be opened now. */
  find(name: string): ServedPool | Promise<ServedPool | undefined> | undefined;
  /** The one that keeps the directory by which a pool goes. */
  homeOf(served: ServedPool): ServedPool | undefined;
  /** What requests may name besides one of them. */
  besides(pool: Pool): OtherPools;
  /** The database has changed. */
  lookAgain(): void;
  readonly open: readonly ServedPool[];
  close(): Promise<void>;
}

/**
 * Opens the others one after the other, in the background or when one is first asked for, and goes by the database: a pool
 * that is new there is served within a second or two, and one that was deleted no more. One that can't be opened costs the others nothing.
 */
export function openPools(
  first: ServedPool,
  { list, open, opensAtStart, steadyMs, log }: PoolsParts,
): Pools {
  const entries = new Map<string, Entry>();
  const leaving = new Set<Promise<void>>();
  const closing = new AbortController();
  let reading: Promise<void> | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  let turn: Promise<unknown> = Promise.resolve();

  /** One at a time: each takes the HSM for a while. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = turn.then(work);
    turn = done.catch(() => undefined);
    return done;
  }

  async function openNow(entry: Entry): Promise<ServedPool | undefined> {
    const { pool } = entry;
    try {
      const home = pool.isHome ? undefined : await findHome(pool.tenantId);
      if (!pool.isHome && home === undefined)
        throw new Error('the pool of its directory is not open');
      const served = await inTurn(() => open(pool, home));
      if (closing.signal.aborted || entries.get(pool.name) !== entry) {
        await served.close();
        return undefined;
      }
      entry.served = served;
      entry.wait = LIMITS.poolRetryMs.first;
      log.info({ pool: pool.name }, 'the pool is open');
      return served;
    } catch (error) {
      log.error({ err: error, pool: pool.name }, 'the pool cannot be opened: it is tried again');
      entry.triedAgainAt = steadyMs() + entry.wait;
      entry.wait = Math.min(2 * entry.wait, LIMITS.poolRetryMs.most);
      return undefined;
    }
  }

  function opened(entry: Entry): ServedPool | Promise<ServedPool | undefined> | undefined {
    if (entry.served !== undefined) return entry.served;
    if (entry.opening !== undefined) return entry.opening;
    if (closing.signal.aborted || steadyMs() < entry.triedAgainAt) return undefined;
    entry.opening = openNow(entry).finally(() => {
      delete entry.opening;
    });
    return entry.opening;
  }

  async function findHome(tenantId: string): Promise<ServedPool | undefined> {
    if (first.pool.isHome && first.pool.tenantId === tenantId) return first;
    const home = [...entries.values()].find(
      ({ pool }) => pool.isHome && pool.tenantId === tenantId,
    );
    return home && (await opened(home));
  }

  async function read(): Promise<void> {
    const pools = await list();
    readAt = steadyMs();
    const there = new Map(
      pools
        .filter(({ name, deletedAt }) => name !== first.pool.name && deletedAt === undefined)
        .map((pool) => [pool.name, pool]),
    );
    const gone = [...entries.values()].filter(({ pool }) => !isSame(there.get(pool.name), pool));
    // Who a caller is they were told by the pool that keeps their directory, and are by the one that takes its place.
    const orphaned = [...entries.values()].filter(({ pool }) =>
      gone.some((one) => one.pool.isHome && one.pool.tenantId === pool.tenantId),
    );
    for (const entry of new Set([...gone, ...orphaned])) {
      entries.delete(entry.pool.name);
      if (entry.served !== undefined) leave(entry.served);
    }
    for (const [name, pool] of there) {
      const known = entries.get(name);
      if (known === undefined)
        entries.set(name, { pool, triedAgainAt: 0, wait: LIMITS.poolRetryMs.first });
      else known.pool = pool;
    }
  }

  /** What it has under way may end. */
  function leave(served: ServedPool): void {
    log.info({ pool: served.pool.name }, 'the pool is served no more');
    served.endStreams();
    const left = delay(LIMITS.poolLeaveMs, undefined, { ref: false, signal: closing.signal })
      .catch(() => undefined)
      .then(() => served.close())
      .catch((error: unknown) => {
        log.error({ err: error, pool: served.pool.name }, 'a pool could not be closed');
      })
      .finally(() => leaving.delete(left));
    leaving.add(left);
  }

  const readNow = () =>
    (reading ??= read().finally(() => {
      reading = undefined;
    }));

  const stop = repeat(
    async () => {
      await readNow();
      if (opensAtStart) for (const entry of entries.values()) await opened(entry);
    },
    LIMITS.poolsEveryMs,
    Math.random,
    (error) => {
      log.debug({ err: error }, 'the pools could not be listed');
    },
  );

  async function findNew(name: string): Promise<ServedPool | undefined> {
    if (steadyMs() - readAt > LIMITS.poolsAtLeastMs) await readNow().catch(() => undefined);
    const entry = entries.get(name);
    return entry && (await opened(entry));
  }

  return {
    find(name) {
      if (name === first.pool.name) return first;
      const entry = entries.get(name);
      return entry === undefined ? findNew(name) : opened(entry);
    },
    homeOf(served) {
      const { pool } = served;
      if (pool.isHome) return served;
      if (first.pool.isHome && first.pool.tenantId === pool.tenantId) return first;
      return [...entries.values()]
        .map((entry) => entry.served)
        .find((other) => other?.pool.isHome === true && other.pool.tenantId === pool.tenantId);
    },
    besides: ({ tenantId }) => ({
      share(name) {
        const pool = entries.get(name)?.pool;
        return pool?.isHome === false && pool.tenantId === tenantId;
      },
      refuse: (name) =>
        entries.has(name)
          ? new ServiceError(
              'HsmUnavailable',
              'This pool cannot be opened now: its operator finds the reason in the log of the service.',
            )
          : poolNotFound(),
    }),
    lookAgain() {
      readNow().catch(() => undefined);
    },
    get open() {
      return [...entries.values()].flatMap(({ served }) => served ?? []);
    },
    async close() {
      closing.abort();
      await stop();
      await Promise.all([...entries.values()].flatMap(({ opening }) => opening ?? []));
      const served = [...entries.values()].flatMap((entry) => entry.served ?? []);
      entries.clear();
      await Promise.all([...served.map((one) => one.close()), ...leaving]);
    },
  };
}

/** A full restore makes a pool another one. */
function isSame(now: Pool | undefined, known: Pool): boolean {
  return now?.id === known.id && now.restores === known.restores;
}
