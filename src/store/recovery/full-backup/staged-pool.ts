import { type Kysely, sql } from 'kysely';
import type { AuditedChange } from '../../../core/audit/record.ts';
import type { AuditChain } from '../../../core/audit/chain.ts';
import type {
  StagedPool,
  TakenPool,
  WrittenChain,
} from '../../../core/recovery/full-backup/pool-store.ts';
import { ServiceError } from '../../../core/errors.ts';
import { fromPostgres } from '../../errors.ts';
import type { Tables } from '../../tables.ts';
import { holdConnection } from './held-connection.ts';
import { readInheritedLog } from './inherited-log.ts';
import {
  beginReplacement,
  endReplacement,
  notifyRestored,
  replaceOwnRows,
} from './pool-replacement.ts';
import { takeOver } from './pool-takeover.ts';
import { addStagedRows, createStagedTables } from './staged-rows.ts';
import { recordDifference } from './witness-difference.ts';

export interface StagedPoolParts {
  /** Of one connection, which nobody else uses. */
  readonly db: Kysely<Tables>;
  readonly poolId: string;
  readonly newChain: (poolId: string) => AuditChain;
}

export async function openStagedPool({
  db,
  poolId,
  newChain,
}: StagedPoolParts): Promise<StagedPool> {
  const { on, end } = await holdConnection(db);
  let begun: string | null;
  try {
    begun = await readRestoringSince(on, poolId);
    await createStagedTables(on);
  } catch (error) {
    await end();
    throw fromPostgres(error);
  }
  return {
    add: (rows) => translated(addStagedRows(on, rows)),
    readInheritedLog: () => translated(readInheritedLog(on)),
    takePlace: (change, target) => translated(takePlace(change, target)),
    close: end,
  };

  async function takePlace(
    change: AuditedChange,
    target: TakenPool | undefined,
  ): Promise<readonly WrittenChain[]> {
    await sql`analyze staged`.execute(on);
    const pools = target === undefined ? [poolId] : [poolId, target.poolId];
    const written = pools.map((id) => ({ poolId: id, chain: newChain(id) }));
    await on.transaction().execute(async (trx) => {
      await beginReplacement(trx, poolId);
      // Whoever has taken this restore for dead has let others write meanwhile: what they wrote must stay.
      if ((await readRestoringSince(trx, poolId)) !== begun) throw interrupted();
      if (target === undefined) await replaceOwnRows(trx, poolId);
      else await takeOver(trx, poolId, target);
      await endReplacement(trx);
      const record = change.toRecord();
      for (const one of written) await recordDifference(trx, { ...one, record });
      await notifyRestored(trx, poolId);
    });
    change.committed();
    return written;
  }
}

/** Since when the pool is closed for a restore; the row stays as it is until the transaction ends. */
async function readRestoringSince(db: Kysely<Tables>, poolId: string): Promise<string | null> {
  const { rows } = await sql<{ since: string | null }>`
    select restoring_since::text as since from pool where id = ${poolId} for no key update`.execute(
    db,
  );
  return rows[0]?.since ?? null;
}

function interrupted(): ServiceError {
  return new ServiceError(
    'Conflict',
    'The pool was opened again while this restore was under way: nothing is restored.',
  );
}

async function translated<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw fromPostgres(error);
  }
}
