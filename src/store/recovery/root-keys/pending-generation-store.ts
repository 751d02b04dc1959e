import { sql } from 'kysely';
import type { KeyMaterial } from '../../../core/keys/key.ts';
import { unpackBytes } from '../../../core/keys/packed-bytes.ts';
import { ServiceError } from '../../../core/errors.ts';
import type {
  PendingGeneration,
  PendingGenerationStore,
} from '../../../core/recovery/root-keys/pending-generation.ts';
import type { ExportedRootKeys } from '../../../core/recovery/security-domain/ports.ts';
import { changing, reading, type StoreContext, type Trx } from '../../database.ts';
import { POOL_CHANGED } from '../../pool/pool-store.ts';
import type { PendingRootGenerationRow } from '../../tables.ts';
import { insertBackupKeys, toBackupMaterial } from './backup-key-store.ts';
import { makeGenerationCurrent, putVouchers, putRetired } from './current-generation.ts';

export function createPendingGenerationStore(context: StoreContext): PendingGenerationStore {
  const { poolId } = context;
  return {
    find: () =>
      reading(context, async (db) => {
        const row = await db
          .selectFrom('pending_root_generation')
          .innerJoin('pool', (join) =>
            join
              .onRef('pool.id', '=', 'pending_root_generation.pool_id')
              .onRef('pool.root_generation', '=', 'pending_root_generation.after_generation'),
          )
          .selectAll('pending_root_generation')
          .where('pool_id', '=', poolId)
          .executeTakeFirst();
        if (row === undefined) return undefined;
        const vouchers = await db
          .selectFrom('root_voucher')
          .select(['by_generation as by', 'generation', 'proof'])
          .where('pool_id', '=', poolId)
          .where('generation', '=', row.generation)
          .execute();
        return toPending(row, vouchers);
      }),

    findNumber: () =>
      reading(context, async (db) => {
        const row = await db
          .selectFrom('pending_root_generation')
          .select('generation')
          .where('pool_id', '=', poolId)
          .executeTakeFirst();
        return row?.generation;
      }),

    async makeCurrent(pending, change) {
      const { after, generation, rootCheck, endorsement, backupKeys } = pending;
      const topics = () => [{ topic: 'root-keys', id: String(generation) } as const, POOL_CHANGED];
      const made = await changing(context, change, topics, async (trx) => {
        const isCurrent = await makeGenerationCurrent(trx, poolId, {
          after,
          number: generation,
          rootCheck,
          opensBackups: backupKeys === undefined,
          endorsement,
        });
        if (!isCurrent) return undefined;
        const { numDeletedRows } = await trx
          .deleteFrom('pending_root_generation')
          .where('pool_id', '=', poolId)
          .where('generation', '=', generation)
          .where('root_check', '=', Buffer.from(rootCheck))
          .executeTakeFirstOrThrow();
        if (numDeletedRows !== 1n)
          throw new ServiceError('Conflict', 'Another download has made new root keys meanwhile.');
        if (backupKeys !== undefined) await insertBackupKeys(trx, backupKeys);
        await trx
          .updateTable('pool')
          .set({ activation: 'domain' })
          .where('id', '=', poolId)
          .execute();
        await trx.deleteFrom('root_key_awaited').where('pool_id', '=', poolId).execute();
        return true;
      });
      return made === true;
    },

    noteReplicas: ({ lacking, holding }) =>
      reading(context, async (db) => {
        if (lacking.length > 0)
          await db
            .insertInto('root_key_awaited')
            .values(lacking.map((name) => ({ pool_id: poolId, replica_name: name })))
            .onConflict((on) =>
              on.columns(['pool_id', 'replica_name']).doUpdateSet({ seen_at: sql<Date>`now()` }),
            )
            .execute();
        if (holding.length > 0)
          await db
            .deleteFrom('root_key_awaited')
            .where('pool_id', '=', poolId)
            .where('replica_name', 'in', holding)
            .execute();
      }),

    listAwaited: (seenWithinMs) =>
      reading(context, (db) =>
        db
          .selectFrom('root_key_awaited')
          .select(['replica_name as name', 'is_given_up as isGivenUp'])
          .where('pool_id', '=', poolId)
          .where(
            'seen_at',
            '>',
            sql<Date>`now() - make_interval(secs => ${seenWithinMs / 1000}::double precision)`,
          )
          .orderBy('replica_name')
          .execute(),
      ),

    async giveUp(names, change) {
      await changing(context, change, { topic: 'root-keys', id: '*' }, async (trx) => {
        await trx
          .insertInto('root_key_awaited')
          .values(names.map((name) => ({ pool_id: poolId, replica_name: name, is_given_up: true })))
          .onConflict((on) =>
            on.columns(['pool_id', 'replica_name']).doUpdateSet({ is_given_up: true }),
          )
          .execute();
        return true;
      });
    },
  };
}

/**
 * In the place of those of an earlier download, which are retired: nothing was sealed by them, and their domain may be lost.
 * @throws ServiceError Conflict where others have become the current ones meanwhile
 */
export async function insertPending(
  trx: Trx,
  poolId: string,
  exported: Omit<ExportedRootKeys, 'domain'>,
): Promise<void> {
  const { after, generation, rootCheck, endorsement, backupKeys, supersedes } = exported;
  const pool = await trx
    .selectFrom('pool')
    .select('root_generation')
    .where('id', '=', poolId)
    // As in makeGenerationCurrent.
    .forNoKeyUpdate()
    .executeTakeFirstOrThrow();
  const gone = await trx
    .deleteFrom('pending_root_generation')
    .where('pool_id', '=', poolId)
    .returning('generation')
    .execute();
  if (pool.root_generation !== after || gone.some((one) => one.generation !== supersedes?.number))
    throw new ServiceError('Conflict', 'Another process has made new root keys meanwhile.');
  if (supersedes !== undefined) await putRetired(trx, poolId, supersedes);
  await trx.deleteFrom('root_key_awaited').where('pool_id', '=', poolId).execute();
  const { retirement, vouchers } = endorsement;
  await trx
    .insertInto('pending_root_generation')
    .values({
      pool_id: poolId,
      generation,
      after_generation: after,
      root_check: Buffer.from(rootCheck),
      retires: [...retirement.retires],
      retirement: Buffer.from(retirement.proof),
      ...(backupKeys !== undefined && toPair(backupKeys)),
    })
    .execute();
  await putVouchers(trx, poolId, vouchers);
}

function toPair({ identity, sealed: { blob, macBlob, seal } }: KeyMaterial) {
  if (macBlob === undefined) throw new TypeError('backup keys are a pair');
  return {
    pair_version: identity.version,
    pair_blob: unpackBytes(blob),
    pair_mac_blob: unpackBytes(macBlob),
    pair_seal: unpackBytes(seal),
  };
}

function toPending(
  row: PendingRootGenerationRow,
  vouchers: PendingGeneration['endorsement']['vouchers'],
): PendingGeneration {
  const { pool_id, generation, pair_version, pair_blob, pair_mac_blob, pair_seal } = row;
  const hasPair =
    pair_version !== null && pair_blob !== null && pair_mac_blob !== null && pair_seal !== null;
  return {
    after: row.after_generation,
    generation,
    rootCheck: row.root_check,
    endorsement: { vouchers, retirement: { retires: row.retires, proof: row.retirement } },
    madeAt: row.made_at,
    ...(hasPair && {
      backupKeys: toBackupMaterial({
        pool_id,
        version: pair_version,
        root_generation: generation,
        blob: pair_blob,
        mac_blob: pair_mac_blob,
        seal: pair_seal,
      }),
    }),
  };
}
