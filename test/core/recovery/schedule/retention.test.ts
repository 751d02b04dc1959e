import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ServiceError } from '../../../../src/core/errors.ts';
import type {
  BackupStorage,
  BackupSummary,
} from '../../../../src/core/recovery/full-backup/ports.ts';
import type { BackupsKept, ScheduledBackup } from '../../../../src/core/recovery/schedule/ports.ts';
import { outdatedOf, removeOutdated } from '../../../../src/core/recovery/schedule/retention.ts';
import { newChange } from '../../../support/store.ts';

const DAY_MS = 86_400_000;
const NEWEST = Date.parse('2026-11-20T02:30:00Z');
const POOL = { id: '6dbf3a2c-1f1a-4c38-9f4a-0d3b6f5f3d11', name: 'main' };

const backupOf = (day: number, more: Partial<BackupSummary> = {}): BackupSummary => ({
  folder: `mhsm-main-${day}`,
  poolId: POOL.id,
  pool: POOL.name,
  madeAt: new Date(NEWEST - day * DAY_MS),
  keys: 1,
  versions: 1,
  bytes: 100,
  withAuditRecords: false,
  madeBy: { askedBy: 'schedule', job: `job-${day}` },
  ...more,
});
const withoutOrigin = ({ madeBy: _madeBy, ...backup }: BackupSummary): BackupSummary => backup;
const foldersOf = (backups: readonly BackupSummary[]) => backups.map(({ folder }) => folder);

describe('of ten nightly backups', () => {
  const ten = Array.from({ length: 10 }, (_, day) => backupOf(day));

  test.each<[BackupsKept, readonly number[]]>([
    [{}, []],
    [{ count: 3 }, [9, 8, 7, 6, 5, 4, 3]],
    [{ count: 10 }, []],
    [{ count: 1 }, [9, 8, 7, 6, 5, 4, 3, 2, 1]],
    [{ seconds: 4 * 86_400 }, [9, 8, 7, 6, 5]],
    [{ seconds: 1 }, [9, 8, 7, 6, 5, 4, 3, 2, 1]],
    [{ count: 2, seconds: 4 * 86_400 }, [9, 8, 7, 6, 5]],
    [{ count: 8, seconds: 4 * 86_400 }, [9, 8]],
  ])('%j removes those of %j days ago, oldest first', (keep, days) => {
    expect(foldersOf(outdatedOf(ten, keep))).toEqual(days.map((day) => `mhsm-main-${day}`));
  });
});

test('whatever there is: the newest stays, and so does all that a rule keeps', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 5_000 }), { minLength: 1, maxLength: 40 }),
      fc.option(fc.integer({ min: 1, max: 50 }), { nil: undefined }),
      fc.option(fc.integer({ min: 1, max: 400_000_000 }), { nil: undefined }),
      (days, count, seconds) => {
        const all = days.map((day, index) => backupOf(day, { folder: String(index) }));
        const keep = {
          ...(count !== undefined && { count }),
          ...(seconds !== undefined && { seconds }),
        };
        const gone = outdatedOf(all, keep);
        const newest = Math.max(...all.map(({ madeAt }) => madeAt.getTime()));
        expect(all.length - gone.length).toBeGreaterThanOrEqual(Math.min(count ?? 1, all.length));
        const isYoung = ({ madeAt }: BackupSummary) =>
          newest - madeAt.getTime() <= (seconds ?? -1) * 1000;
        expect(gone.filter(isYoung)).toEqual([]);
        const left = all.filter((one) => !gone.includes(one));
        expect(Math.max(...left.map(({ madeAt }) => madeAt.getTime()))).toBe(newest);
      },
    ),
  );
});

/** What lies in a storage: the backup, or why its beginning isn't believed. */
type Lying = BackupSummary | ServiceError;

interface Scene {
  readonly lying: Readonly<Record<string, Lying>>;
  readonly claims: readonly ScheduledBackup[];
  readonly broken?: readonly string[];
  readonly keep?: BackupsKept;
}

const claimOf = ({ folder, madeAt, madeBy }: BackupSummary): ScheduledBackup => ({
  job: madeBy?.job ?? '',
  folder,
  startedAt: new Date(madeAt.getTime() - 1_000),
  endedAt: new Date(madeAt.getTime() + 1_000),
});

/** @returns which folders were removed, and which were put on record before */
async function removedOf({ lying, claims, broken = [], keep = { count: 1 } }: Scene) {
  const removed: string[] = [];
  const recorded: string[] = [];
  const storage = {
    place: '/backups',
    listFolders: () => Promise.resolve(Object.keys(lying)),
    removeFolder: (folder: string) => {
      removed.push(folder);
      return Promise.resolve();
    },
  } as unknown as BackupStorage;
  await removeOutdated(
    {
      pool: POOL,
      store: {
        listMade: (_place, folders) =>
          Promise.resolve(claims.filter(({ folder }) => folders.includes(folder))),
        listBroken: (_place, folders) =>
          Promise.resolve(broken.filter((folder) => folders.includes(folder))),
        record: () => Promise.resolve(),
      },
      identify: (_storage, folder) => {
        const found = lying[folder];
        return found === undefined || found instanceof Error
          ? Promise.reject(found ?? new ServiceError('BackupNotFound', ''))
          : Promise.resolve(found);
      },
      newRemoval: ({ folder }) => {
        recorded.push(folder);
        return newChange('FullBackupRemoval');
      },
    },
    storage,
    { made: backupOf(0), keep },
    new AbortController().signal,
  );
  return { removed, recorded };
}

describe('of what lies in a storage', () => {
  const made = backupOf(0);
  const old = backupOf(5);

  test('what a failed job of the schedule has left is removed after a day, where it is no backup', async () => {
    const none = new ServiceError('BackupNotFound', '');
    const cut = 'mhsm-main-20261118023000-0123abcd';
    const whole = 'mhsm-main-20261117023000-0123abcd';
    // Somebody may write there at this moment.
    const young = 'mhsm-main-20261120013000-0123abcd';
    const named = 'mhsm-main-of-an-operator';
    const foreign = 'mhsm-main-20261116023000-0123abcd';
    const lying = {
      ...{ [cut]: none, [young]: none, [named]: none, [foreign]: none },
      [whole]: backupOf(3, { folder: whole }),
    };
    expect(await removedOf({ lying, claims: [], broken: [cut, whole, young, named] })).toEqual({
      removed: [cut],
      recorded: [cut],
    });
  });

  test('an outdated backup of the schedule is removed, and on record', async () => {
    const lying = { [made.folder]: made, [old.folder]: old };
    expect(await removedOf({ lying, claims: [claimOf(old)] })).toEqual({
      removed: [old.folder],
      recorded: [old.folder],
    });
  });

  test.each<[string, Lying, readonly ScheduledBackup[]]>([
    ['that an operator or a caller has made', old, []],
    ['of another pool', backupOf(5, { poolId: 'other' }), [claimOf(old)]],
    [
      'that does not open by this pool’s backup keys',
      new ServiceError('MalformedBackupBlob', ''),
      [claimOf(old)],
    ],
    ['that has no manifest', new ServiceError('BackupNotFound', ''), [claimOf(old)]],
    [
      'that an operator has made, and whose job a row calls one of the schedule',
      backupOf(5, { madeBy: { askedBy: 'operator', job: 'job-5' } }),
      [claimOf(old)],
    ],
    [
      'that another job of the schedule has made, of another database',
      backupOf(5, { madeBy: { askedBy: 'schedule', job: 'other' } }),
      [claimOf(old)],
    ],
    ['of a version that did not say who made it', withoutOrigin(old), [claimOf(old)]],
    ['in whose folder another backup was put', backupOf(3, { folder: old.folder }), [claimOf(old)]],
  ])('one %s stays', async (_what, found, claims) => {
    const lying = { [made.folder]: made, [old.folder]: found };
    expect(await removedOf({ lying, claims })).toEqual({ removed: [], recorded: [] });
  });

  test('what is no good backup doesn’t count as one of those that are kept', async () => {
    const all = [1, 2, 3].map((day) => backupOf(day));
    const lying: Record<string, Lying> = { [made.folder]: made };
    for (const backup of all) lying[backup.folder] = backup;
    lying['mhsm-main-1'] = new ServiceError('MalformedBackupBlob', '');
    const { removed } = await removedOf({ lying, claims: all.map(claimOf), keep: { count: 2 } });
    expect(removed).toEqual(['mhsm-main-3']);
  });

  test('one of a clock that was ahead neither stays in the newest one’s place nor is removed', async () => {
    const ahead = backupOf(-400);
    const lying = { [made.folder]: made, [ahead.folder]: ahead, [old.folder]: old };
    const { removed } = await removedOf({ lying, claims: [claimOf(ahead), claimOf(old)] });
    expect(removed).toEqual([old.folder]);
  });

  test('nothing is removed where the storage fails, or where no rule was given', async () => {
    const lying = {
      [made.folder]: made,
      [old.folder]: new ServiceError('StorageUnavailable', 'away'),
    };
    await expect(removedOf({ lying, claims: [claimOf(old)] })).rejects.toThrow('away');
    const good = { [made.folder]: made, [old.folder]: old };
    expect(await removedOf({ lying: good, claims: [claimOf(old)], keep: {} })).toEqual({
      removed: [],
      recorded: [],
    });
  });
});
