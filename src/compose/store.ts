import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { type AuditChain, createAuditChain } from '../core/audit/chain.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import { OperatorError } from '../core/operator-error.ts';
import { openChangeFeed, type OpenChangeFeed } from '../store/change-feed.ts';
import { type DatabaseOptions, openDatabase, type StoreContext } from '../store/database.ts';
import { readServers } from '../store/servers.ts';
import { findPool, type Pool } from '../store/pool/pool-store.ts';
import { LIMITS } from './limits.ts';
import type { ServiceSettings } from './service/settings.ts';

export type StoreSettings = Pick<ServiceSettings, 'databaseUrl' | 'pool'>;

/** A pool's rows, without the HSM. */
export interface OpenStore {
  readonly context: StoreContext;
  readonly pool: Pool;
  close(): Promise<void>;
}

/** As a worker process has it: with the change feed, and connections for the audit log alone. */
export interface ServiceStore extends OpenStore {
  /** The audit log must not wait behind changes that hold a connection. */
  readonly auditDb: StoreContext['db'];
  /** Changes write their own records: neither they nor the audit log wait for each other. */
  readonly chains: Readonly<Record<'changes' | 'auditLog' | 'found', AuditChain>>;
  readonly feed: OpenChangeFeed;
}

/** For a command, which writes to one chain and listens to nobody. @throws OperatorError without such a pool */
export async function openStore(settings: StoreSettings, log: Logger): Promise<OpenStore> {
  const db = openConnections(settings, log, LIMITS.commandConnections);
  const close = () => db.destroy();
  try {
    const pool = await requirePool(db, settings.pool);
    return { context: commandContext(db, pool), pool, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What a command's stores share. */
export function commandContext(
  db: StoreContext['db'],
  { id: poolId, restores }: Pick<Pool, 'id' | 'restores'>,
): StoreContext {
  const chain = createAuditChain({ poolId, newGuid: randomUUID, clock: systemClock });
  return { db, poolId, restores, chain, publish: () => undefined };
}

/** @throws OperatorError without such a pool */
export async function openServiceStore(
  settings: StoreSettings & Pick<ServiceSettings, 'issuers'>,
  log: Logger,
  clock: Clock,
): Promise<ServiceStore> {
  const servers = readServers(settings.databaseUrl);
  const db = openConnections(settings, log, LIMITS.databaseConnections, { servers });
  const pool = await requirePool(db, settings.pool);
  const newChain = () => createAuditChain({ poolId: pool.id, newGuid: randomUUID, clock });
  const chains = { changes: newChain(), auditLog: newChain(), found: newChain() };
  const feed = await openChangeFeed({
    url: settings.databaseUrl,
    servers,
    poolId: pool.id,
    onError: (error) => {
      if (error instanceof OperatorError) log.error({}, error.message);
      log.warn({ err: error }, 'the change feed broke: caches are not believed meanwhile');
    },
  });
  const auditDb = openConnections(settings, log, LIMITS.auditConnections, { servers });
  const context: StoreContext = {
    db,
    poolId: pool.id,
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
    async close() {
      await feed.close();
      await Promise.all([db.destroy(), auditDb.destroy()]);
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
