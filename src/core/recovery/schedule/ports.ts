import type { AuditedChange } from '../../audit/record.ts';
import type { JobFailure } from '../jobs/ports.ts';

/** When backups are to be made: by a cron expression of five fields, or every so many seconds from when it was set. */
export type BackupTimes =
  { readonly cron: string; readonly timeZone: string } | { readonly everySeconds: number };

/** Which backups stay: each that either of them keeps, and all where there is neither. The newest one always does. */
export interface BackupsKept {
  readonly count?: number;
  readonly seconds?: number;
}

export interface BackupSchedule {
  readonly times: BackupTimes;
  /** The path of a folder, or the URL of a container or a bucket, without a token. */
  readonly place: string;
  readonly keep: BackupsKept;
  readonly withAuditRecords: boolean;
}

/** What is known of a pool's backups, by the clock of the store. */
export interface BackupState {
  readonly now: Date;
  readonly schedule: (BackupSchedule & { readonly setAt: Date }) | undefined;
  /** When the newest one was begun that was made, by whomever. */
  readonly newestAt: Date | undefined;
  /** When the newest one was begun that the schedule has made. */
  readonly newestScheduledAt: Date | undefined;
  /** Of the schedule, newest; whatever came after it. */
  readonly lastFailure: (JobFailure & { readonly at: Date }) | undefined;
  /** Tries of the schedule as it is now that have failed, one after another. */
  readonly failures: number;
  /**
   * How many backups, tries or settings of the schedule say a time that is still to come. Nothing goes by them until then:
   * one row could else put off all that is planned.
   */
  readonly ahead: number;
}

/** A backup that the schedule of this pool has made, as its job says. */
export interface ScheduledBackup {
  readonly job: string;
  readonly folder: string;
  readonly startedAt: Date;
  readonly endedAt: Date;
}

export interface ScheduleStore {
  readState(): Promise<BackupState>;
  /** In the place of the one before, if there was one. */
  set(schedule: BackupSchedule, change: AuditedChange): Promise<void>;
  /** @returns false where there is none */
  remove(change: AuditedChange): Promise<boolean>;
  /** A try of the schedule for which no job was begun. @param id of the job that it would have been */
  recordFailure(
    id: string,
    place: string,
    failure: JobFailure,
    change: AuditedChange,
  ): Promise<void>;
  /** Those in the place that are among the folders, newest first. */
  listMade(place: string, folders: readonly string[]): Promise<readonly ScheduledBackup[]>;
  /** Folders that a failed job of this pool's schedule has begun there, of these. */
  listBroken(place: string, folders: readonly string[]): Promise<readonly string[]>;
  /** Puts on record what changes no row. */
  record(change: AuditedChange): Promise<void>;
}

/** @returns the first planned time after another one; undefined where there is none */
export type NextByCron = (cron: string, timeZone: string, after: Date) => Date | undefined;
