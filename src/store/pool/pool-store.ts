import { setTimeout as delay } from 'node:timers/promises';
import { type Insertable, type Kysely, sql } from 'kysely';
import type { AuditedChange } from '../../core/audit/record.ts';
import type { KeyKeeping } from '../../core/keys/key-keeping.ts';
import type { Activation } from '../../core/pool/activation.ts';
import { OperatorError } from '../../core/operator-error.ts';
import { changing, reading, type StoreContext } from '../database.ts';
import { fromPostgres, isDuplicate } from '../errors.ts';
import type { PoolRow, Tables } from '../tables.ts';

/** All processes read what the pool serves anew. */
export const POOL_CHANGED = { topic: 'pool', id: '*' } as const;

/** A pool as it is recorded: what was decided when it was made, and which root keys are its own. */
export interface Pool {
  readonly id: string;
  readonly name: string;
  readonly tenantId: string;
  /** Keeps the tenant's directory, by which its other pools go. */
  readonly isHome: boolean;
  /** Of its PKCS#11 token; undefined for the one of the service's settings. */
  readonly tokenLabel?: string | undefined;
  /** From then on it serves nothing, and can be recovered until it is purged. */
  readonly deletedAt?: Date | undefined;
  readonly purgeAt?: Date | undefined;
  readonly softDeleteDays: number;
  readonly purgeProtection: boolean;
  readonly rootGeneration: number;
  readonly rootCheck: Uint8Array;
  readonly keeping: KeyKeeping;
  /** Undefined for a pool from before there were security domains. */
  readonly activation: Activation | undefined;
  /** How many full restores it has been through. */
  readonly restores: number;
}

export async function findPool(db: Kysely<Tables>, name: string): Promise<Pool | undefined> {
  try {
    const row = await db.selectFrom('pool').selectAll().where('name', '=', name).executeTakeFirst();
    return row && toPool(row);
  } catch (error) {
    throw fromPostgres(error);
  }
}

/** The one that keeps a tenant's directory. */
export async function findHomePool(
  db: Kysely<Tables>,
  tenantId: string,
): Promise<Pool | undefined> {
  return reading({ db }, async () => {
    const row = await db
      .selectFrom('pool')
      .selectAll()
      .where('tenant_id', '=', tenantId)
      .where(sql<boolean>`is_home is not false`)
      .executeTakeFirst();
    return row && toPool(row);
  });
}

/** All of a database, by name. */
export async function listPools(db: Kysely<Tables>): Promise<readonly Pool[]> {
  return reading({ db }, async () =>
    (await db.selectFrom('pool').selectAll().orderBy('name').execute()).map(toPool),
  );
}

export async function insertPool(db: Kysely<Tables>, pool: Pool): Promise<void> {
  await db.insertInto('pool').values(fromPool(pool)).execute();
  await insertGeneration(db, pool, { opensBackups: false });
}

/** Records the pool's present root keys as a generation by which rows may be sealed. */
async function insertGeneration(
  db: Kysely<Tables>,
  { id, rootGeneration, rootCheck }: Pool,
  { opensBackups }: { readonly opensBackups: boolean },
): Promise<void> {
  await db
    .insertInto('root_generation')
    .values({
      pool_id: id,
      number: rootGeneration,
      root_check: Buffer.from(rootCheck),
      is_kept: false,
      opens_backups: opensBackups,
    })
    .execute();
}

export async function createPool(
  context: StoreContext,
  pool: Pool,
  change: AuditedChange,
): Promise<void> {
  await changing(
    context,
    change,
    () => [],
    async (trx) => {
      await insertPool(trx, pool);
      return true;
    },
  );
}

/** Of a pool from before there were generations: its root keys are on record from now on, once. */
export async function recordGeneration(
  context: StoreContext,
  pool: Pool,
  change: AuditedChange,
): Promise<void> {
  const known = await reading(context, (db) =>
    db.selectFrom('root_generation').select('number').where('pool_id', '=', pool.id).execute(),
  );
  if (known.length > 0) return;
  try {
    await changing(context, change, { topic: 'root-keys', id: '*' }, async (trx) => {
      await insertGeneration(trx, pool, { opensBackups: true });
      return true;
    });
  } catch (error) {
    // Another process that starts has been faster.
    if (!isDuplicate(error)) throw error;
  }
}

/** Switches purge protection on for good. */
export async function protectFromPurge(
  context: StoreContext,
  change: AuditedChange,
): Promise<void> {
  await changing(
    context,
    change,
    () => [],
    async (trx) => {
      await trx
        .updateTable('pool')
        .set({ purge_protection: true })
        .where('id', '=', context.poolId)
        .execute();
      return true;
    },
  );
}

/**
 * From the next moment on it serves nothing; all that is in it stays until it is purged.
 * @returns when it is purged; undefined where it was deleted before
 */
export async function deletePool(
  context: StoreContext,
  change: AuditedChange,
): Promise<Date | undefined> {
  return changing(
    context,
    change,
    () => [POOL_CHANGED],
    async (trx) => {
      const row = await trx
        .updateTable('pool')
        .set({
          deleted_at: sql`now()`,
          purge_at: sql`now() + make_interval(days => soft_delete_days)`,
        })
        .where('id', '=', context.poolId)
        .where('deleted_at', 'is', null)
        .returning('purge_at')
        .executeTakeFirst();
      return row?.purge_at ?? undefined;
    },
  );
}

/** Of a deleted pool whose keys are gone: its name is free from now on, and nothing can recover it. Its records stay. */
export async function giveUpName(context: StoreContext, change: AuditedChange): Promise<void> {
  await changing(
    context,
    change,
    () => [POOL_CHANGED],
    async (trx) => {
      const { numUpdatedRows } = await trx
        .updateTable('pool')
        .set({ name: sql`name || '-purged-' || id`, purge_at: null })
        .where('id', '=', context.poolId)
        .where('deleted_at', 'is not', null)
        .executeTakeFirstOrThrow();
      return numUpdatedRows === 0n ? undefined : true;
    },
  );
}

/** It serves again. @returns false where it was not deleted */
export async function recoverPool(context: StoreContext, change: AuditedChange): Promise<boolean> {
  const isDone = await changing(
    context,
    change,
    () => [POOL_CHANGED],
    async (trx) => {
      const { numUpdatedRows } = await trx
        .updateTable('pool')
        .set({ deleted_at: null, purge_at: null })
        .where('id', '=', context.poolId)
        .where('deleted_at', 'is not', null)
        .executeTakeFirstOrThrow();
      return numUpdatedRows === 0n ? undefined : true;
    },
  );
  return isDone === true;
}

const LOCK_RETRY_MS = 100;
/** Longer than the slowest HSM takes to make root keys, of several that start at once. */
const LOCK_LIMIT_MS = 120_000;

/**
 * Lets one process at a time make what a pool has once: root keys, signing key, first administrator.
 * @throws OperatorError where another has been at it for `limitMs`
 */
export async function withPoolLock<T>(
  db: Kysely<Tables>,
  name: string,
  work: () => Promise<T>,
  limitMs = LOCK_LIMIT_MS,
): Promise<T> {
  return db.connection().execute(async (connection) => {
    const lock = sql`hashtextextended(${`pool ${name}`}, 0)`;
    // Asked again and again: a statement that waits ends at the statement timeout, and making root keys may take longer.
    const deadline = performance.now() + limitMs;
    for (;;) {
      const { rows } = await sql<{ isMine: boolean }>`
        select pg_try_advisory_lock(${lock}) as "isMine"`.execute(connection);
      if (rows[0]?.isMine === true) break;
      if (performance.now() > deadline)
        throw new OperatorError(
          `Another process has been setting up the pool "${name}" for ${limitMs / 1000} s, and this one waits no longer: look at that process, or end its connection to the database.`,
        );
      await delay(LOCK_RETRY_MS);
    }
    try {
      return await work();
    } finally {
      await sql`select pg_advisory_unlock(${lock})`.execute(connection);
    }
  });
}

/**
 * Lets one process at a time do something, if none does it now.
 * @param lock by which all name it
 * @returns undefined where another one is at it
 */
export async function withLockIfFree<T>(
  db: Kysely<Tables>,
  lock: string,
  work: () => Promise<T>,
): Promise<T | undefined> {
  return db.connection().execute(async (connection) => {
    const key = sql`hashtextextended(${lock}, 0)`;
    const { rows } = await sql<{ isMine: boolean }>`
      select pg_try_advisory_lock(${key}) as "isMine"`.execute(connection);
    if (rows[0]?.isMine !== true) return undefined;
    try {
      return await work();
    } finally {
      await sql`select pg_advisory_unlock(${key})`.execute(connection);
    }
  });
}

function toPool(row: PoolRow): Pool {
  return {
    id: row.id,
    name: row.name,
    tenantId: row.tenant_id,
    softDeleteDays: row.soft_delete_days,
    purgeProtection: row.purge_protection,
    rootGeneration: row.root_generation,
    rootCheck: row.root_check,
    keeping: row.key_keeping ?? 'sealed',
    activation: row.activation ?? undefined,
    restores: row.restores ?? 0,
    isHome: row.is_home ?? true,
    ...(row.token_label !== null && { tokenLabel: row.token_label }),
    ...(row.deleted_at !== null && { deletedAt: row.deleted_at }),
    ...(row.purge_at !== null && { purgeAt: row.purge_at }),
  };
}

function fromPool(pool: Pool): Insertable<Tables['pool']> {
  return {
    id: pool.id,
    name: pool.name,
    tenant_id: pool.tenantId,
    soft_delete_days: pool.softDeleteDays,
    purge_protection: pool.purgeProtection,
    root_generation: pool.rootGeneration,
    root_check: Buffer.from(pool.rootCheck),
    key_keeping: pool.keeping,
    activation: pool.activation ?? null,
    ...(!pool.isHome && { is_home: false }),
    ...(pool.tokenLabel !== undefined && { token_label: pool.tokenLabel }),
  };
}
