import { Kysely, PostgresDialect, sql, type Transaction } from 'kysely';
import pg from 'pg';
import type { AuditedChange } from '../core/audit/record.ts';
import type { AuditChain, ChainLock } from '../core/audit/chain.ts';
import { ServiceError } from '../core/errors.ts';
import type { StateChange } from '../core/caching/change-feed.ts';
import { withWitnesses } from '../core/audit/witness-records.ts';
import { insertAuditRecords } from './audit/audit-rows.ts';
import { CHANNEL } from './feed-connection.ts';
import { fromDriver, fromPostgres } from './errors.ts';
import { POOLS } from './prepared-query.ts';
import { openServerPool, type ServerRole } from './server-pool.ts';
import { readServers, type Servers } from './servers.ts';
import type { Tables } from './tables.ts';
import { readNoted } from './witness/noted-witnesses.ts';

export interface DatabaseOptions {
  /** postgres://…; `?host=/folder` for a Unix socket; several hosts as libpq has them. */
  readonly url: string;
  /** Those of the URL, which other connections of this process use as well. */
  readonly servers?: Servers;
  /** Which of the servers; the primary where absent. A standby is read alone. */
  readonly role?: ServerRole;
  /** Connections at most. */
  readonly connections: number;
  /** Of a statement; as requests have it where absent. Milliseconds. */
  readonly statementLimitMs?: number;
  /** A connection broke. A request that was using it fails by itself; this is for the log. */
  readonly onIdleError: (error: Error) => void;
}

/** `answer` is for a database that says nothing at all, where the server's own limit can't help. */
const LIMITS_MS = {
  connect: 5_000,
  connectOneOf: 2_000,
  statement: 15_000,
  idleInTransaction: 15_000,
  answer: 17_000,
};

const STANDBY_LIFETIME_S = 60;

export function openDatabase(options: DatabaseOptions): Kysely<Tables> {
  const { connections, onIdleError, statementLimitMs = LIMITS_MS.statement } = options;
  const { servers = readServers(options.url), role = 'primary' } = options;
  const isOnlyOne = servers.urls.length === 1 && role === 'primary';
  const pool = openServerPool(servers, {
    role,
    max: connections,
    connectionTimeoutMillis: isOnlyOne ? LIMITS_MS.connect : LIMITS_MS.connectOneOf,
    // Not by the startup message, which poolers refuse for what they don't know.
    prepare: `set statement_timeout = ${statementLimitMs}; set idle_in_transaction_session_timeout = ${LIMITS_MS.idleInTransaction}${role === 'standby' ? '; set default_transaction_read_only = on' : ''}`,
    // Where it has been promoted, or another standby is nearer, connections don't stay for ever.
    ...(role === 'standby' && { maxLifetimeSeconds: STANDBY_LIFETIME_S }),
    query_timeout: statementLimitMs + LIMITS_MS.answer - LIMITS_MS.statement,
    keepAlive: true,
    application_name: 'strongroom',
  });
  // While a connection is lent out the pool doesn't listen to it, and an error that nobody hears ends the process.
  pool.on('connect', (client) => {
    client.on('error', onIdleError);
    translateErrors(client);
  });
  // Of idle connections it tells once more what was just heard.
  pool.on('error', () => undefined);
  // A connection whose query was given up is still in the middle of it: nobody may get it again.
  pool.on('release', (_error, client) => {
    if ('readyForQuery' in client && client.readyForQuery !== true) void client.end();
  });
  const db = new Kysely<Tables>({
    dialect: new PostgresDialect({
      pool: {
        connect: () =>
          pool.connect().catch((error: unknown) => {
            throw fromDriver(error);
          }),
        end: () => pool.end(),
      },
    }),
  });
  POOLS.set(db, pool);
  const destroy = () => Kysely.prototype.destroy.call(db);
  return Object.assign(db, {
    // Kysely ends a pool that it has used itself, and no other.
    destroy: async () => {
      await destroy();
      if (!pool.ending) await pool.end();
    },
  });
}

/**
 * Where the driver rejects, its errors are known for the driver's. A commit whose wait for the synchronous standby was
 * cancelled (pg_cancel_backend) counts as one whose answer was lost: PostgreSQL says that it is done, and would lose it with
 * this server.
 */
function translateErrors(client: pg.PoolClient): void {
  const query = client.query.bind(client) as (...given: unknown[]) => unknown;
  let isUnreplicated = false;
  client.on('notice', ({ routine }) => {
    if (routine === 'SyncRepWaitForLSN') isUnreplicated = true;
  });
  client.query = ((...given: unknown[]) => {
    const result = query(...given);
    // Those who wait by a callback, as the pool's own queries, translate for themselves: they read.
    if (!(result instanceof Promise)) return result;
    return result.then(
      (answer: unknown) => {
        if (!isUnreplicated) return answer;
        isUnreplicated = false;
        throw fromDriver(new Error('the synchronous standby has not confirmed the commit'));
      },
      (error: unknown) => {
        throw fromDriver(error);
      },
    );
  }) as typeof client.query;
}

/** Connections now: all, those that nobody uses, and how many queries wait for one. */
export function connectionsOf(...databases: readonly Kysely<Tables>[]) {
  const open = databases.map((db) => POOLS.get(db)).filter((pool) => pool instanceof pg.Pool);
  const sum = (count: (pool: pg.Pool) => number) =>
    open.reduce((total, pool) => total + count(pool), 0);
  return {
    total: sum((pool) => pool.totalCount),
    idle: sum((pool) => pool.idleCount),
    waiting: sum((pool) => pool.waitingCount),
  };
}

/** What the stores of one pool share. */
export interface StoreContext {
  readonly db: Kysely<Tables>;
  readonly poolId: string;
  /** Whose directory says who is who: the home pool of the tenant, which may be this one. */
  readonly homeId: string;
  /** How many full restores the pool had been through when this process opened it. */
  readonly restores: number;
  /** The chain to which this process links what it records of changes. */
  readonly chain: AuditChain;
  /** Notifies this process's own caches, after the commit. */
  readonly publish: (change: StateChange) => void;
  /** Issuers besides the built-in directory whose tokens this service takes: users of the directory can sign in by them. */
  readonly trustedIssuers?: readonly string[];
}

export type Trx = Transaction<Tables>;

/** Reads; the database's errors become ServiceErrors. */
export async function reading<T>(
  { db }: Pick<StoreContext, 'db'>,
  read: (db: Kysely<Tables>) => Promise<T>,
): Promise<T> {
  try {
    return await read(db);
  } catch (error) {
    throw fromPostgres(error);
  }
}

/** Whether the pool has to be as this process knows it; `anyhow` is for what a restore says of itself. */
type Requires = 'pool as known' | 'anyhow';

/**
 * A change of state: it, its audit record, which witnesses the rows that it touched, and the notification of the other processes
 * commit together, or not at all. `change` gives back what was changed, or undefined where there was nothing to change: then nothing is written.
 * @throws ServiceError PoolRestoring while a full restore makes the pool another one, and from then on in a process that has
 * known it before: what was let in earlier must not be found in what was restored
 */
export async function changing<T>(
  context: StoreContext,
  audited: AuditedChange,
  changed: StateChange | ((result: T) => readonly StateChange[]),
  change: (trx: Trx) => Promise<T | undefined>,
  requires: Requires = 'pool as known',
): Promise<T | undefined> {
  const { db, poolId, chain, publish } = context;
  let lock: ChainLock | undefined;
  try {
    let published: readonly StateChange[] = [];
    const result = await db.transaction().execute(async (trx) => {
      const done = await change(trx);
      if (done === undefined) return undefined;
      const { witnesses, pool } = await readNoted(trx, poolId);
      // After the change, not before it: a restore takes tables' locks, for which whoever has written there first is waited.
      if (requires === 'pool as known' && (pool.isRestoring || pool.restores !== context.restores))
        throw poolRestoring();
      // Last, since whoever holds the lock holds up the others until the commit.
      lock = await chain.lock();
      await insertAuditRecords(
        trx,
        poolId,
        lock.link(withWitnesses(audited.toRecord(), witnesses)),
      );
      published = typeof changed === 'function' ? changed(done) : [changed];
      await notify(trx, poolId, published);
      return done;
    });
    lock?.settle('written');
    if (result !== undefined) audited.committed();
    published.forEach(publish);
    return result;
  } catch (thrown) {
    const error = fromPostgres(thrown);
    lock?.settle(outcomeOf(error));
    throw error;
  }
}

function poolRestoring(): ServiceError {
  return new ServiceError(
    'PoolRestoring',
    'This pool is being restored from a backup, or has just been: nothing was changed.',
  );
}

/** Where the connection went away, the commit may have been done. */
export function outcomeOf(error: unknown): 'refused' | 'unknown' {
  return error instanceof ServiceError && error.code === 'StoreUnavailable' ? 'unknown' : 'refused';
}

/** Notifies every process, this one too, when the transaction commits. */
export async function notify(
  trx: Trx,
  poolId: string,
  changes: readonly StateChange[],
): Promise<void> {
  for (const { topic, id } of changes)
    await sql`select pg_notify(${CHANNEL}, ${JSON.stringify({ poolId, topic, id })})`.execute(trx);
}
