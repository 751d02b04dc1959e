import { beforeEach, describe, expect, test } from '@jest/globals';
import { nextByCron } from '../../../../src/backup/schedule/cron-times.ts';
import { ServiceError } from '../../../../src/core/errors.ts';
import type {
  BackupStorage,
  BackupSummary,
} from '../../../../src/core/recovery/full-backup/ports.ts';
import type { JobFailure } from '../../../../src/core/recovery/jobs/ports.ts';
import { createBackupScheduler } from '../../../../src/core/recovery/schedule/backup-scheduler.ts';
import type { BackupSchedule, BackupState } from '../../../../src/core/recovery/schedule/ports.ts';
import { newChange } from '../../../support/store.ts';

const SET_AT = Date.parse('2026-11-01T00:00:00Z');
const MADE = { folder: 'mhsm-main-1', poolId: 'pool', madeAt: new Date(SET_AT) } as BackupSummary;
const SCHEDULE: BackupSchedule = {
  times: { everySeconds: 3_600 },
  place: '/backups',
  keep: { count: 1 },
  withAuditRecords: true,
};

/** What the processes of a pool share, and a clock that tests move. */
class World {
  nowMs = SET_AT;
  made: number[] = [];
  failed: (JobFailure & { readonly at: Date })[] = [];
  refusal: ServiceError | undefined;
  readBack: ServiceError | undefined;
  removed: string[] = [];
  isListable = true;
  said: string[] = [];
  #isTaken = false;

  get state(): BackupState {
    const newest = this.made.at(-1);
    const newestAt = newest === undefined ? undefined : new Date(newest);
    return {
      now: new Date(this.nowMs),
      schedule: { ...SCHEDULE, setAt: new Date(SET_AT) },
      newestAt,
      newestScheduledAt: newestAt,
      lastFailure: this.failed.at(-1),
      ahead: 0,
      failures: this.failed.filter(({ at }) => at.getTime() > (newest ?? 0)).length,
    };
  }

  fail(failure: JobFailure): void {
    this.failed.push({ ...failure, at: new Date(this.nowMs) });
  }

  /** One of the processes that follow the schedule. */
  process() {
    const storage = {
      place: SCHEDULE.place,
      listFolders: () => Promise.resolve([]),
      removeFolder: (folder: string) => Promise.resolve(void this.removed.push(folder)),
    } as unknown as BackupStorage;
    let failure: JobFailure | undefined;
    return createBackupScheduler({
      pool: { id: 'pool', name: 'main' },
      nextByCron,
      newId: () => 'id',
      newChange,
      newRemoval: () => newChange('FullBackupRemoval'),
      identify: () => Promise.resolve(MADE),
      backups: {
        verify: () =>
          this.readBack === undefined ? Promise.resolve(MADE) : Promise.reject(this.readBack),
      },
      ifFree: async (work) => {
        if (this.#isTaken) return;
        this.#isTaken = true;
        await work().finally(() => (this.#isTaken = false));
      },
      store: {
        readState: () => Promise.resolve(this.state),
        recordFailure: (_id, _place, refused) => {
          this.fail(refused);
          return Promise.resolve();
        },
        listMade: () =>
          this.isListable
            ? Promise.resolve([])
            : Promise.reject(new ServiceError('StorageUnavailable', 'away')),
        listBroken: () => Promise.resolve([]),
        record: () => Promise.resolve(),
        set: () => Promise.resolve(),
        remove: () => Promise.resolve(true),
      },
      jobs: {
        start: async (request, askedBy) => {
          if (this.refusal !== undefined) throw this.refusal;
          if (request.kind !== 'backup') throw new Error(request.kind);
          expect([askedBy, request.storage.place]).toEqual(['schedule', SCHEDULE.place]);
          expect(request.withAuditRecords).toBe(true);
          const startedAt = this.nowMs;
          failure = undefined;
          try {
            await request.onMade?.(storage, MADE, new AbortController().signal);
            this.made.push(startedAt);
          } catch (error) {
            const { code, message } = error as ServiceError;
            failure = { code, message };
            this.fail(failure);
          }
          return { job: { id: 'job' } as never, ended: Promise.resolve({ backup: MADE }) };
        },
        find: () =>
          Promise.resolve({
            status: failure === undefined ? 'Succeeded' : 'Failed',
            failure,
          } as never),
      },
      on: {
        made: () => this.said.push('made'),
        failed: ({ code }) => this.said.push(`failed: ${code}`),
        removed: () => undefined,
        notRemoved: () => this.said.push('not removed'),
      },
    });
  }
}

let world: World;
beforeEach(() => {
  world = new World();
});
const hours = (count: number) => count * 3_600_000;

describe('a schedule', () => {
  test('makes one backup at each of its times, over all processes', async () => {
    const processes = [world.process(), world.process(), world.process()];
    for (let minute = 0; minute < 180; minute += 1) {
      world.nowMs = SET_AT + minute * 60_000;
      await Promise.all(processes.map((one) => one.look()));
    }
    expect(world.made).toEqual([0, 1, 2].map((hour) => SET_AT + hours(hour)));
  });

  test('makes up once for all times that nobody was there', async () => {
    const one = world.process();
    await one.look();
    world.nowMs += hours(50) + 1;
    await one.look();
    await one.look();
    expect(world.made).toHaveLength(2);
  });

  test('tries again what has failed, in a minute and then more seldom, and says so', async () => {
    world.refusal = new ServiceError('StorageRefused', 'The SAS token has expired.');
    const one = world.process();
    const tries: number[] = [];
    for (let minute = 0; minute < 20; minute += 1) {
      const before = world.failed.length;
      await one.look();
      if (world.failed.length > before) tries.push(minute);
      world.nowMs += 60_000;
    }
    expect(tries).toEqual([0, 1, 3, 7, 15]);
    expect(new Set(world.said)).toEqual(new Set(['failed: StorageRefused']));
    expect(one.standing?.failedAt).toEqual(world.failed.at(-1)?.at);
    world.refusal = undefined;
    world.nowMs += hours(1);
    await one.look();
    expect(world.said.at(-1)).toBe('made');
    expect(world.state.failures).toBe(0);
  });

  test('waits while another backup or restore is under way, which is no failure', async () => {
    const one = world.process();
    world.refusal = new ServiceError('Conflict', 'under way');
    await one.look();
    world.refusal = new ServiceError('PoolRestoring', 'being restored');
    await one.look();
    expect([world.failed, world.said]).toEqual([[], []]);
    world.refusal = undefined;
    await one.look();
    expect(world.made).toHaveLength(1);
  });

  test('leaves nothing of a backup that doesn’t open when it is read back', async () => {
    world.readBack = new ServiceError('MalformedBackupBlob', 'not as it was written');
    await world.process().look();
    expect(world.removed).toEqual([MADE.folder]);
    expect(world.said).toEqual(['failed: MalformedBackupBlob']);
    expect(world.made).toEqual([]);
  });

  test('has made a backup also where the outdated ones could not be removed', async () => {
    world.isListable = false;
    await world.process().look();
    expect(world.said).toEqual(['not removed', 'made']);
  });

  test('says how it stands', async () => {
    const one = world.process();
    expect(one.standing).toBeUndefined();
    world.refusal = new ServiceError('Conflict', 'under way');
    await one.look();
    expect(one.standing).toEqual({
      newestAt: undefined,
      failedAt: undefined,
      dueSince: new Date(SET_AT),
      hasSchedule: true,
      ahead: 0,
    });
    world.refusal = undefined;
    await one.look();
    expect(one.standing).toMatchObject({ newestAt: new Date(SET_AT), dueSince: undefined });
  });
});
