import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { type AuditChain, createAuditChain } from '../core/audit/chain.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import { OperatorError } from '../core/operator-error.ts';
import { openChangeFeed, type PoolFeed, type ProcessFeed } from '../store/change-feed.ts';
import { type DatabaseOptions, openDatabase, type StoreContext } from '../store/database.ts';
import { type ConnectionShares, shareConnections } from '../store/connection-shares.ts';
import { readServers } from '../store/servers.ts';
import { findHomePool, findPool, type Pool } from '../store/pool/pool-store.ts';
import { LIMITS } from './limits.ts';
import type { ServiceSettings } from './service/settings.ts';

export type StoreSettings = Pick<ServiceSettings, 'databaseUrl' | 'pool'>;

/** A pool's rows, without the HSM. */
export interface OpenStore {
  readonly context: StoreContext;
  readonly pool: Pool;
  close(): Promise<void>;
}

/** What a process has once, for all its pools. */
export interface ProcessStore {
  readonly db: StoreContext['db'];
  /** The same, by what each pool may have of it. */
  readonly shares: ConnectionShares;
  /** The audit log must not wait behind changes that hold a connection. */
  readonly auditDb: StoreContext['db'];
  readonly feed: ProcessFeed;
  close(): Promise<void>;
}

/** A pool's rows as a worker process has them: with the change feed, and connections for the audit log alone. */
export interface ServiceStore extends Omit<OpenStore, 'close'> {
  readonly auditDb: StoreContext['db'];
  /** Changes write their own records: neither they nor the audit log wait for each other. */
  readonly chains: Readonly<Record<'changes' | 'auditLog' | 'found', AuditChain>>;
  readonly feed: PoolFeed;
  /** The process serves the pool no more. */
  leave(): void;
}

/** For a command, which writes to one chain and listens to nobody. @throws OperatorError without such a pool */
export async function openStore(settings: StoreSettings, log: Logger): Promise<OpenStore> {
  const db = openConnections(settings, log, LIMITS.commandConnections);
  const close = () => db.destroy();
  try {
    const pool = await requirePool(db, settings.pool);
    return { context: commandContext(db, pool, await homeIdOf(db, pool)), pool, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What a command's stores share. */
export function commandContext(
  db: StoreContext['db'],
  { id: poolId, restores }: Pick<Pool, 'id' | 'restores'>,
  homeId = poolId,
): StoreContext {
  const chain = createAuditChain({ poolId, newGuid: randomUUID, clock: systemClock });
  return { db, poolId, homeId, restores, chain, publish: () => undefined };
}

/** The connections of a worker process. */
export async function openProcessStore(
  settings: Pick<StoreSettings, 'databaseUrl'>,
  log: Logger,
): Promise<ProcessStore> {
  const servers = readServers(settings.databaseUrl);
  const db = openConnections(settings, log, LIMITS.databaseConnections, { servers });
  const feed = await openChangeFeed({
    url: settings.databaseUrl,
    servers,
    onError: (error) => {
      if (error instanceof OperatorError) log.error({}, error.message);
      log.warn({ err: error }, 'the change feed broke: caches are not believed meanwhile');
    },
  });
  const auditDb = openConnections(settings, log, LIMITS.auditConnections, { servers });
  const shares = shareConnections(db, {
    connections: LIMITS.databaseConnections,
    waiting: LIMITS.waitingQueries,
    waitMs: LIMITS.connectionWaitMs,
  });
  return {
    db,
    shares,
    auditDb,
    feed,
    async close() {
      await feed.close();
      await Promise.all([db.destroy(), auditDb.destroy()]);
    },
  };
}

/** @throws OperatorError without such a pool */
export async function openServiceStore(
  { db: all, shares, auditDb, feed: processFeed }: ProcessStore,
  settings: Pick<ServiceSettings, 'pool' | 'issuers'>,
  clock: Clock,
): Promise<ServiceStore> {
  const pool = await requirePool(all, settings.pool);
  const homeId = await homeIdOf(all, pool);
  const db = shares.of(pool.id);
  const newChain = () => createAuditChain({ poolId: pool.id, newGuid: randomUUID, clock });
  const chains = { changes: newChain(), auditLog: newChain(), found: newChain() };
  const feed = processFeed.of(pool.id, homeId);
  const context: StoreContext = {
    db,
    poolId: pool.id,
    homeId,
    restores: pool.restores,
    chain: chains.changes,
    publish: (change) => {
      feed.publish(change);
    },
    trustedIssuers: (settings.issuers ?? []).map(({ issuer }) => issuer),
  };
  return {
    context,
    pool,
    auditDb,
    chains,
    feed,
    leave() {
      feed.leave();
      shares.leave(pool.id);
    },
  };
}

export function openConnections(
  { databaseUrl }: Pick<ServiceSettings, 'databaseUrl'>,
  log: Logger,
  connections: number,
  limits: Pick<DatabaseOptions, 'statementLimitMs' | 'servers'> = {},
): StoreContext['db'] {
  return openDatabase({
    url: databaseUrl,
    connections,
    ...limits,
    onIdleError: (error) => {
      log.warn({ err: error }, 'a database connection broke');
    },
  });
}

async function requirePool(db: StoreContext['db'], name: string): Promise<Pool> {
  const pool = await findPool(db, name);
  if (pool !== undefined) return pool;
  throw new OperatorError(
    `The pool "${name}" has not been made yet: run \`strongroom bootstrap\`, or set STRONGROOM_POOL to one that is there.`,
  );
}

/** @throws OperatorError where the pool that keeps the directory is gone */
async function homeIdOf(db: StoreContext['db'], pool: Pool): Promise<string> {
  if (pool.isHome) return pool.id;
  const home = await findHomePool(db, pool.tenantId);
  if (home !== undefined) return home.id;
  throw new OperatorError(
    `The pool "${pool.name}" goes by the directory of the tenant ${pool.tenantId}, and the pool that keeps it is not here.`,
  );
}

/** For reading the directory by which a pool goes. */
export function directoryContext(context: StoreContext): StoreContext {
  return { ...context, poolId: context.homeId };
}
