import { setTimeout as delay } from 'node:timers/promises';
import { ServiceError } from '../../errors.ts';
import type { KeyMaterial } from '../../keys/key.ts';
import { type Rewrapped, type RootKeyStore, SEALED_TABLES, type SealedTable } from './ports.ts';
import type { KeyRewrapper } from './root-key-hsm.ts';

export interface RewrappingParts {
  readonly hsm: KeyRewrapper;
  readonly store: Pick<RootKeyStore, 'listSealed' | 'replaceSealed'>;
  /** Rows were wrapped by the current root keys. */
  readonly onRows?: (rows: number) => void;
  /** Asked before each batch. */
  readonly isStopped?: () => boolean;
}

/** What passing over all rows has come to. */
export interface Pass {
  readonly rewrapped: number;
  /** Rows that somebody else changed meanwhile: the next pass finds them again. */
  readonly missed: number;
  /** Rows whose seal doesn't verify: they stay as they are. */
  readonly broken: number;
}

/** Rows at once: each batch is a transaction, and a word to all processes. */
const BATCH = 100;
/** Of the time that a batch has taken, how long is waited after it: callers have the HSM for themselves meanwhile. */
const PAUSE_SHARE = 1;

/** Wraps everything that isn't sealed by the current root keys by these, once. What was wrapped is done for good. */
export async function rewrapOnce(parts: RewrappingParts): Promise<Pass> {
  const total = { rewrapped: 0, missed: 0, broken: 0 };
  for (const table of SEALED_TABLES)
    for (let last: KeyMaterial | undefined; ;) {
      if (parts.isStopped?.() === true) return total;
      const began = performance.now();
      const rows = await parts.store.listSealed(table, last, BATCH);
      last = rows.at(-1);
      if (last === undefined) break;
      const batch = await rewrapBatch(parts, table, rows);
      total.rewrapped += batch.rewrapped;
      total.missed += batch.missed;
      total.broken += batch.broken;
      await delay((performance.now() - began) * PAUSE_SHARE);
    }
  return total;
}

async function rewrapBatch(
  { hsm, store, onRows }: RewrappingParts,
  table: SealedTable,
  rows: readonly KeyMaterial[],
): Promise<Pass> {
  const done: Rewrapped[] = [];
  let broken = 0;
  for (const before of rows)
    try {
      done.push({ before, after: await hsm.rewrap(before, 'current') });
    } catch (error) {
      if (!(error instanceof ServiceError && error.code === 'KeyIntegrityViolation')) throw error;
      broken += 1;
    }
  const rewrapped = done.length === 0 ? 0 : await store.replaceSealed(table, done);
  onRows?.(rewrapped);
  return { rewrapped, missed: done.length - rewrapped, broken };
}
