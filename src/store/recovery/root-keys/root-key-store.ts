import { sql } from 'kysely';
import type {
  PendingState,
  RetiredGeneration,
  RootGeneration,
  RootKeyStore,
} from '../../../core/recovery/root-keys/ports.ts';
import { changing, reading, type StoreContext } from '../../database.ts';
import { isOrphaned } from '../../errors.ts';
import {
  isKept,
  makeGenerationCurrent,
  putRetired,
  writeEndorsement,
} from './current-generation.ts';
import { createSealedRows } from './sealed-rows.ts';

/** Of each table with sealed rows. */
const COUNTED = sql`
  select root_generation as number, count(*) as rows from key_version where pool_id = p.id group by 1
  union all select root_generation, count(*) from signing_key where pool_id = p.id group by 1
  union all select root_generation, count(*) from statement_key where pool_id = p.id group by 1
  union all select root_generation, count(*) from transfer_key where pool_id = p.id group by 1
  union all select root_generation, count(*) from backup_keys where pool_id = p.id group by 1`;

export function createRootKeyStore(context: StoreContext): RootKeyStore {
  const { poolId } = context;
  return {
    ...createSealedRows(context),

    currentGeneration: () =>
      reading(context, async (db) => {
        const pool = await db
          .selectFrom('pool')
          .select('root_generation')
          .where('id', '=', poolId)
          .executeTakeFirstOrThrow();
        return pool.root_generation;
      }),

    listOpeningBackups: () =>
      reading(context, async (db) => {
        const rows = await db
          .selectFrom('root_generation')
          .select('number')
          .where('pool_id', '=', poolId)
          .where('opens_backups', '=', true)
          .orderBy('number')
          .execute();
        return rows.map(({ number }) => number);
      }),

    hasPool: (id) =>
      reading(context, async (db) => {
        const pool = await db
          .selectFrom('pool')
          .select('id')
          .where('id', '=', id)
          .executeTakeFirst();
        return pool !== undefined;
      }),

    readState: () =>
      reading(context, async (db) => {
        const { rows: generations } = await sql<RootGeneration>`
          select g.number, g.made_at as "madeAt", g.number = p.root_generation as "isCurrent",
            g.is_kept as "isKept", g.opens_backups as "opensBackups",
            (select coalesce(sum(rows), 0)::integer from (${COUNTED}) c where c.number = g.number) as rows
          from root_generation g join pool p on p.id = g.pool_id
          where g.pool_id = ${poolId} order by g.number`.execute(db);
        const { rows: retired } = await sql<
          Omit<RetiredGeneration, 'destroyedAt'> & { destroyedAt: Date | null }
        >`select number, retired_at as "retiredAt", destroyed_at as "destroyedAt", proof
          from retired_root_generation where pool_id = ${poolId} order by number`.execute(db);
        const { rows: clock } = await sql<{ now: Date }>`select now() as now`.execute(db);
        const { rows: said } = await sql<{ retires: number[] | null; proof: Buffer | null }>`
          select g.retires, g.retirement as proof from root_generation g
          join pool p on p.id = g.pool_id and p.root_generation = g.number
          where g.pool_id = ${poolId}`.execute(db);
        const [{ retires, proof } = { retires: null, proof: null }] = said;
        const { rows: pending } = await sql<PendingState>`
          select n.generation as number, n.made_at as "madeAt", array(
            select a.replica_name from root_key_awaited a
            where a.pool_id = n.pool_id and not a.is_given_up order by 1) as awaited
          from pending_root_generation n join pool p
            on p.id = n.pool_id and p.root_generation = n.after_generation
          where n.pool_id = ${poolId}`.execute(db);
        return {
          ...(pending[0] !== undefined && { pending: pending[0] }),
          ...(retires !== null && proof !== null && { retirement: { retires, proof } }),
          generations,
          retired: retired.map(({ destroyedAt, ...known }) => ({
            ...known,
            ...(destroyedAt !== null && { destroyedAt }),
          })),
          now: clock[0]?.now ?? new Date(),
        };
      }),

    isUnfinished: () =>
      reading(context, async (db) => {
        const { rows } = await sql<{ isUnfinished: boolean }>`
          select exists (
            select from root_generation g
            where g.pool_id = p.id and g.number <> p.root_generation and (not g.is_kept
              or exists (select from key_version v where v.pool_id = p.id and v.root_generation = g.number)
              or exists (select from signing_key v where v.pool_id = p.id and v.root_generation = g.number)
              or exists (select from statement_key v where v.pool_id = p.id and v.root_generation = g.number)
              or exists (select from transfer_key v where v.pool_id = p.id and v.root_generation = g.number)
              or exists (select from backup_keys v where v.pool_id = p.id and v.root_generation = g.number))
          ) or exists (
            select from retired_root_generation r where r.pool_id = p.id and r.destroyed_at is null
          ) as "isUnfinished" from pool p where p.id = ${poolId}`.execute(db);
        return rows[0]?.isUnfinished ?? false;
      }),

    async makeCurrent(generation, change) {
      const made = await changing(
        context,
        change,
        { topic: 'root-keys', id: String(generation.number) },
        async (trx) => {
          const isCurrent = await makeGenerationCurrent(trx, poolId, generation);
          return isCurrent ? true : undefined;
        },
      );
      return made === true;
    },

    isRetired: (generation) =>
      reading(context, async (db) => {
        const row = await db
          .selectFrom('retired_root_generation')
          .select('number')
          .where('pool_id', '=', poolId)
          .where('number', '=', generation)
          .executeTakeFirst();
        return row !== undefined;
      }),

    listVouchers: () =>
      reading(context, async (db) => {
        const rows = await db
          .selectFrom('root_voucher')
          .selectAll()
          .where('pool_id', '=', poolId)
          .orderBy('generation', 'desc')
          .execute();
        return rows.map(({ by_generation, generation, proof }) => ({
          by: by_generation,
          generation,
          proof,
        }));
      }),

    async putEndorsement(generation, said, change) {
      await changing(
        context,
        change,
        { topic: 'root-keys', id: String(generation) },
        async (trx) => {
          await trx
            .updateTable('root_generation')
            .set({ is_kept: isKept(said) })
            .where('pool_id', '=', poolId)
            .where('number', '<>', generation)
            .execute();
          await writeEndorsement(trx, poolId, generation, said);
          return true;
        },
      );
    },

    async retire({ number, proof }, currentForSeconds, change) {
      try {
        const retired = await changing(
          context,
          change,
          { topic: 'root-keys', id: String(number) },
          async (trx) => {
            const { numAffectedRows } = await sql`
              delete from root_generation g using pool p, root_generation c
              where g.pool_id = ${poolId} and g.number = ${number} and not g.is_kept
                and p.id = g.pool_id and g.number < p.root_generation
                and c.pool_id = g.pool_id and c.number = p.root_generation
                and c.made_at < now() - make_interval(secs => ${currentForSeconds})`.execute(trx);
            if (numAffectedRows !== 1n) return undefined;
            await putRetired(trx, poolId, { number, proof });
            return true;
          },
        );
        return retired === true;
      } catch (error) {
        if (isOrphaned(error)) return false;
        throw error;
      }
    },

    async recordDestroyed(generation, change) {
      await changing(
        context,
        change,
        { topic: 'root-keys', id: String(generation) },
        async (trx) => {
          const { numUpdatedRows } = await trx
            .updateTable('retired_root_generation')
            .set({ destroyed_at: sql`now()` })
            .where('pool_id', '=', poolId)
            .where('number', '=', generation)
            .where('destroyed_at', 'is', null)
            .executeTakeFirstOrThrow();
          return numUpdatedRows === 0n ? undefined : true;
        },
      );
    },
  };
}
