import { type Kysely, sql } from 'kysely';
import type { AuditedChange } from '../../../core/audit/record.ts';
import type { AuditChain } from '../../../core/audit/chain.ts';
import type {
  StagedPool,
  Taking,
  WrittenChain,
} from '../../../core/recovery/full-backup/pool-store.ts';
import { ServiceError } from '../../../core/errors.ts';
import { fromPostgres } from '../../errors.ts';
import type { Trx } from '../../database.ts';
import type { Tables } from '../../tables.ts';
import { endJob } from '../jobs/job-store.ts';
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
  try {
    await createStagedTables(on);
  } catch (error) {
    await end();
    throw fromPostgres(error);
  }
  return {
    add: (rows) => translated(addStagedRows(on, rows)),
    readInheritedLog: () => translated(readInheritedLog(on)),
    takePlace: (taking, change) => translated(takePlace(taking, change)),
    close: end,
  };

  async function takePlace(
    { jobId, counts, target }: Taking,
    change: AuditedChange,
  ): Promise<readonly WrittenChain[]> {
    await sql`analyze staged`.execute(on);
    const pools = target === undefined ? [poolId] : [poolId, target.poolId];
    const written = pools.map((id) => ({ poolId: id, chain: newChain(id) }));
    await on.transaction().execute(async (trx) => {
      await beginReplacement(trx, poolId);
      if (target === undefined) await replaceOwnRows(trx, poolId);
      else await takeOver(trx, poolId, target);
      await endReplacement(trx);
      // Whoever takes this restore for dead says so in the same row, and lets others write again: then all of it is undone.
      if (!(await endJob(trx, jobId, counts))) throw interrupted();
      await openAnew(trx, poolId);
      const record = change.toRecord();
      for (const one of written) await recordDifference(trx, { ...one, record });
      await notifyRestored(trx, poolId);
    });
    change.committed();
    return written;
  }
}

/** It serves again, and processes that have known it before change nothing any more. */
async function openAnew(trx: Trx, poolId: string): Promise<void> {
  await sql`
    update pool set restoring_since = null, restores = coalesce(restores, 0) + 1
    where id = ${poolId}`.execute(trx);
}

function interrupted(): ServiceError {
  return new ServiceError(
    'Conflict',
    'This restore was given up while it was under way: nothing is restored.',
  );
}

async function translated<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw fromPostgres(error);
  }
}
