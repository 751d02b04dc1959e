import type { AuditedChange } from '../../audit/record.ts';
import { ServiceError } from '../../errors.ts';
import type { BackupStorage, BackupSummary } from '../full-backup/ports.ts';
import type { BackupsKept, ScheduledBackup, ScheduleStore } from './ports.ts';

export interface RetentionParts {
  readonly pool: { readonly id: string; readonly name: string };
  readonly store: Pick<ScheduleStore, 'listMade' | 'listBroken' | 'record'>;
  /** What a backup's beginning says, which the pool's backup keys have authenticated. @throws ServiceError */
  readonly identify: (storage: BackupStorage, folder: string) => Promise<BackupSummary>;
  readonly newRemoval: (
    backup: Pick<BackupSummary, 'folder'> & Partial<Pick<BackupSummary, 'madeAt'>>,
    place: string,
  ) => AuditedChange;
}

/** Nobody is at a backup for so long: see `LIMITS.jobMs`. */
const ABANDONED_AFTER_MS = 86_400_000;
/** When a folder was named: the end of `FullBackups.newFolder()`. */
const NAMED_AT = /-(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)-[0-9a-f]{8}$/;

/**
 * Removes backups that a schedule needn't keep any more. Only those are looked at that a job of this pool's schedule has made
 * in this place; and what isn't such a backup by its own authenticated beginning, which names that job, is neither counted nor
 * removed: whoever can only write rows of jobs has nobody else's backup removed. A folder that a failed job of the schedule has
 * left without a manifest goes after a day. Nobody may be at a restore meanwhile.
 * @param made the newest one, which has just been read to its end: it stays, whatever the rule is
 * @returns how many were removed
 */
export async function removeOutdated(
  { pool, store, identify, newRemoval }: RetentionParts,
  storage: BackupStorage,
  { made, keep }: { readonly made: BackupSummary; readonly keep: BackupsKept },
  signal: AbortSignal,
): Promise<number> {
  if (keep.count === undefined && keep.seconds === undefined) return 0;
  const folders = await storage.listFolders(`mhsm-${pool.name}-`);
  const good = [made];
  for (const claim of await store.listMade(storage.place, folders)) {
    signal.throwIfAborted();
    if (claim.folder === made.folder) continue;
    const backup = await identified(() => identify(storage, claim.folder));
    // One of a clock that was ahead would be newer than the newest one.
    if (backup === undefined || backup.madeAt > made.madeAt) continue;
    if (backup.poolId === pool.id && isOf(backup, claim)) good.push(backup);
  }
  const outdated = outdatedOf(good, keep);
  for (const backup of outdated) {
    signal.throwIfAborted();
    await store.record(newRemoval(backup, storage.place));
    await storage.removeFolder(backup.folder);
  }
  for (const folder of await store.listBroken(storage.place, folders.filter(isOld))) {
    signal.throwIfAborted();
    // With its manifest a backup is whole, whatever became of its job.
    if ((await codeOf(() => identify(storage, folder))) !== 'BackupNotFound') continue;
    await store.record(newRemoval({ folder }, storage.place));
    await storage.removeFolder(folder);
  }
  return outdated.length;

  /** What somebody writes at this moment has no manifest either. */
  function isOld(folder: string): boolean {
    const [, ...parts] = NAMED_AT.exec(folder) ?? [];
    if (parts.length === 0) return false;
    const [year = 0, month = 0, ...rest] = parts.map(Number);
    const namedAt = Date.UTC(year, month - 1, ...(rest as [number, number, number, number]));
    return made.madeAt.getTime() - namedAt > ABANDONED_AFTER_MS;
  }
}

async function codeOf(identify: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await identify();
    return undefined;
  } catch (error) {
    if (error instanceof ServiceError) return error.code;
    throw error;
  }
}

/** All but the newest one, those that a rule keeps, and those that are younger. @returns oldest first */
export function outdatedOf(
  backups: readonly BackupSummary[],
  { count, seconds }: BackupsKept,
): readonly BackupSummary[] {
  if (count === undefined && seconds === undefined) return [];
  const newestFirst = [...backups].sort((a, b) => b.madeAt.getTime() - a.madeAt.getTime());
  const newest = newestFirst[0]?.madeAt.getTime() ?? 0;
  const isKept = ({ madeAt }: BackupSummary, index: number) =>
    index === 0 ||
    (count !== undefined && index < count) ||
    (seconds !== undefined && newest - madeAt.getTime() <= seconds * 1000);
  return newestFirst.filter((backup, index) => !isKept(backup, index)).reverse();
}

/** Undefined for what the pool's backup keys have not made, or that is gone. */
async function identified(
  identify: () => Promise<BackupSummary>,
): Promise<BackupSummary | undefined> {
  try {
    return await identify();
  } catch (error) {
    if (error instanceof ServiceError && NO_BACKUP.has(error.code)) return undefined;
    throw error;
  }
}

const NO_BACKUP: ReadonlySet<string> = new Set(['BackupNotFound', 'MalformedBackupBlob']);

/**
 * Whether that job of the schedule has made it, as it says itself, and while it was under way, by the one clock of the store:
 * a copy of another one wasn't.
 */
function isOf(
  { madeAt, madeBy }: BackupSummary,
  { job, startedAt, endedAt }: ScheduledBackup,
): boolean {
  const isMadeByIt = madeBy?.askedBy === 'schedule' && madeBy.job === job;
  return isMadeByIt && startedAt <= madeAt && madeAt <= endedAt;
}
