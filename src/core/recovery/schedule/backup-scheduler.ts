import type { AuditedChange } from '../../audit/record.ts';
import { ServiceError } from '../../errors.ts';
import type { BackupStorage, BackupSummary, FullBackups } from '../full-backup/ports.ts';
import type { JobFailure, RecoveryJob } from '../jobs/ports.ts';
import type { RecoveryJobs } from '../jobs/recovery-jobs.ts';
import { dueSince, scheduleToRun } from './planned-times.ts';
import type { BackupSchedule, BackupState, NextByCron, ScheduleStore } from './ports.ts';
import { removeOutdated, type RetentionParts } from './retention.ts';

export interface BackupSchedulerParts extends Omit<RetentionParts, 'store'> {
  readonly store: ScheduleStore;
  readonly jobs: Pick<RecoveryJobs, 'start' | 'find'>;
  readonly backups: Pick<FullBackups, 'verify'>;
  readonly nextByCron: NextByCron;
  /** Runs what one process at a time does; undefined where another one is at it. */
  readonly ifFree: (work: () => Promise<void>) => Promise<unknown>;
  readonly newId: () => string;
  readonly newChange: (operation: string) => AuditedChange;
  readonly on: {
    readonly made: () => void;
    readonly failed: (failure: JobFailure) => void;
    readonly removed: (backups: number) => void;
    /** Outdated backups stay, which the next one's end tries again. */
    readonly notRemoved: (error: unknown) => void;
  };
}

/** Another backup, restore or ceremony is under way: it is tried again soon. */
const BUSY: ReadonlySet<string> = new Set(['Conflict', 'PoolRestoring']);
/** Refusals that say nothing of the schedule. */
const PASSING: ReadonlySet<string> = new Set([...BUSY, 'StoreUnavailable']);

/** How the pool's backups stand, for metrics. */
export interface BackupStanding {
  readonly newestAt: Date | undefined;
  readonly failedAt: Date | undefined;
  readonly dueSince: Date | undefined;
  readonly hasSchedule: boolean;
  /** Rows that say a time which is still to come. */
  readonly ahead: number;
}

export type BackupScheduler = ReturnType<typeof createBackupScheduler>;

/** Makes the backups that the pool's schedule wants, in whichever process finds first that it is time. */
export function createBackupScheduler(parts: BackupSchedulerParts) {
  const { store, jobs, backups, nextByCron, ifFree, newChange, on } = parts;
  let standing: BackupStanding | undefined;

  async function readState(): Promise<BackupState> {
    const state = await store.readState();
    standing = {
      newestAt: state.newestAt,
      failedAt: state.lastFailure?.at,
      dueSince: dueSince(state, nextByCron),
      hasSchedule: state.schedule !== undefined,
      ahead: state.ahead,
    };
    return state;
  }

  /** Reads it back, before old ones are removed for it. Nothing is left of one that doesn't open. */
  async function readBack(
    storage: BackupStorage,
    { folder }: BackupSummary,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await backups.verify(storage, folder, { signal });
    } catch (error) {
      await storage.removeFolder(folder).catch(() => undefined);
      throw error;
    }
  }

  async function removeOld(
    storage: BackupStorage,
    made: BackupSummary,
    { keep }: BackupSchedule,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      on.removed(await removeOutdated(parts, storage, { made, keep }, signal));
    } catch (error) {
      on.notRemoved(error);
    }
  }

  async function run(schedule: BackupSchedule): Promise<void> {
    const { place, withAuditRecords } = schedule;
    let begun: Awaited<ReturnType<RecoveryJobs['start']>>;
    try {
      begun = await jobs.start(
        {
          kind: 'backup',
          storage: { place },
          withAuditRecords,
          onMade: async (storage, made, signal) => {
            await readBack(storage, made, signal);
            await removeOld(storage, made, schedule, signal);
          },
        },
        'schedule',
        newChange('ScheduledBackupStart'),
      );
    } catch (error) {
      const isAnswer = error instanceof ServiceError && !PASSING.has(error.code);
      if (!isAnswer) throw error;
      const failure = { code: error.code, message: error.message };
      await store.recordFailure(parts.newId(), place, failure, newChange('ScheduledBackupStart'));
      on.failed(failure);
      return;
    }
    await begun.ended;
    sayEnd(await jobs.find(begun.job.id));
  }

  function sayEnd(job: RecoveryJob | undefined): void {
    if (job?.failure !== undefined) on.failed(job.failure);
    else if (job?.status === 'Succeeded') on.made();
  }

  return {
    /** How it stood when it was last looked at; undefined before that. */
    get standing(): BackupStanding | undefined {
      return standing;
    },

    /** Makes a backup where it is time for one. */
    async look(): Promise<void> {
      if (scheduleToRun(await readState(), nextByCron) === undefined) return;
      await ifFree(async () => {
        // Whoever was at it until now may have made it.
        const schedule = scheduleToRun(await readState(), nextByCron);
        if (schedule === undefined) return;
        await run(schedule);
        await readState();
      }).catch((error: unknown) => {
        if (!(error instanceof ServiceError && BUSY.has(error.code))) throw error;
      });
    },
  };
}
