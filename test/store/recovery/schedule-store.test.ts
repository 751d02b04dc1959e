import { randomBytes } from 'node:crypto';
import { afterAll, beforeEach, expect, test } from '@jest/globals';
import type { AskedBy, JobEnd, JobKind } from '../../../src/core/recovery/jobs/ports.ts';
import type { BackupSchedule } from '../../../src/core/recovery/schedule/ports.ts';
import { createJobStore } from '../../../src/store/recovery/jobs/job-store.ts';
import { createScheduleStore } from '../../../src/store/recovery/schedule/schedule-store.ts';
import {
  makePool,
  newChange,
  openStoreDatabase,
  processOf,
  withClient,
} from '../../support/store.ts';

const database = await openStoreDatabase();
afterAll(() => database.close());

const SCHEDULE: BackupSchedule = {
  times: { cron: '30 2 * * *', timeZone: 'Europe/Zurich' },
  place: '/backups',
  keep: { count: 14, seconds: 86_400 },
  withAuditRecords: true,
};
const GOOD: JobEnd = { keys: 1, bytes: 2 };
const BAD: JobEnd = { failure: { code: 'StorageRefused', message: 'it is full' } };

let pool: Awaited<ReturnType<typeof makePool>>;
let schedules: ReturnType<typeof createScheduleStore>;
let jobs: ReturnType<typeof createJobStore>;
beforeEach(async () => {
  pool = await makePool(database.db);
  const context = processOf(database.db, pool);
  schedules = createScheduleStore(context, pool);
  jobs = createJobStore(context, pool);
});

interface RunOptions {
  readonly askedBy?: AskedBy;
  readonly kind?: JobKind;
  readonly place?: string;
}

async function run(
  end: JobEnd,
  folder: string,
  { askedBy = 'schedule', kind = 'backup', place = '/backups' }: RunOptions = {},
): Promise<void> {
  const id = randomBytes(16).toString('hex');
  const job = { id, kind, place, folder, keyName: undefined, principalId: undefined, askedBy };
  await jobs.begin(job, newChange());
  await jobs.end(id, end, newChange());
}

/** @param statement on the pool's rows, by its id */
const asOwner = (statement: string) =>
  withClient(database.ownerUrl, (client) => client.query(statement, [pool.id]));

test('a schedule is what was set last, and none once it was removed', async () => {
  expect((await schedules.readState()).schedule).toBeUndefined();
  expect(await schedules.remove(newChange())).toBe(false);
  await schedules.set(SCHEDULE, newChange());
  const first = (await schedules.readState()).schedule;
  expect(first).toEqual({ ...SCHEDULE, setAt: expect.any(Date) });
  const other = { ...SCHEDULE, times: { everySeconds: 3_600 }, keep: {}, withAuditRecords: false };
  await schedules.set(other, newChange());
  const second = (await schedules.readState()).schedule;
  expect(second).toEqual({ ...other, setAt: expect.any(Date) });
  expect(second?.setAt.getTime()).toBeGreaterThan(first?.setAt.getTime() ?? Infinity);
  expect(await schedules.remove(newChange())).toBe(true);
  expect((await schedules.readState()).schedule).toBeUndefined();
});

test('the newest backup is anybody’s, and what the schedule goes by is its own', async () => {
  await run(GOOD, 'a', { askedBy: 'caller' });
  await run(GOOD, 'check', { kind: 'restore-check' });
  const { newestAt, newestScheduledAt } = await schedules.readState();
  expect([newestAt, newestScheduledAt]).toEqual([expect.any(Date), undefined]);
  await run(GOOD, 'b');
  const after = await schedules.readState();
  expect(after.newestScheduledAt).toEqual(after.newestAt);
  expect(after.newestAt?.getTime()).toBeGreaterThan(newestAt?.getTime() ?? Infinity);
});

test('failures are counted from the last success, or from when it was set', async () => {
  const failures = async () => (await schedules.readState()).failures;
  await schedules.set(SCHEDULE, newChange());
  await run(BAD, 'a', { askedBy: 'caller' });
  expect(await failures()).toBe(0);
  await run(BAD, 'b');
  await schedules.recordFailure(
    randomBytes(16).toString('hex'),
    '/backups',
    { code: 'BadParameter', message: 'no token' },
    newChange(),
  );
  expect(await failures()).toBe(2);
  expect((await schedules.readState()).lastFailure).toMatchObject({
    code: 'BadParameter',
    message: 'no token',
    at: expect.any(Date),
  });
  await run(GOOD, 'c');
  expect(await failures()).toBe(0);
  await run(BAD, 'd');
  expect(await failures()).toBe(1);
  await schedules.set(SCHEDULE, newChange());
  expect(await failures()).toBe(0);
});

test.each<[string, JobEnd, string]>([
  ['a backup that began', GOOD, "started_at = now() + interval '50 years'"],
  ['a backup that ended', GOOD, "ended_at = now() + interval '50 years'"],
  ['a try that failed', BAD, "ended_at = now() + interval '1 minute'"],
])(
  '%s at a time which is still to come puts nothing off, and is told of',
  async (_what, end, to) => {
    await schedules.set(SCHEDULE, newChange());
    await run(GOOD, 'true');
    const before = await schedules.readState();
    expect(before.ahead).toBe(0);
    await run(end, 'ahead');
    await asOwner(`update recovery_job set ${to} where folder = 'ahead' and pool_id = $1`);
    expect(await schedules.readState()).toEqual({ ...before, now: expect.any(Date), ahead: 1 });
  },
);

test('what began some seconds before the clock was put back still counts', async () => {
  await run(GOOD, 'true');
  await asOwner(`update recovery_job set started_at = now() + interval '3 s' where pool_id = $1`);
  const { newestScheduledAt, ahead } = await schedules.readState();
  expect([newestScheduledAt, ahead]).toEqual([expect.any(Date), 0]);
});

test('a schedule that says it was set at a time which is still to come is followed', async () => {
  await schedules.set(SCHEDULE, newChange());
  await asOwner(
    `update backup_schedule set set_at = now() + interval '50 years' where pool_id = $1`,
  );
  const state = await schedules.readState();
  expect(state.schedule?.setAt).toEqual(new Date(0));
  expect(state.ahead).toBe(1);
});

test('what the schedule has made in a place is listed, newest first, and nothing else', async () => {
  await run(GOOD, 'old');
  await run(GOOD, 'new');
  await run(BAD, 'failed');
  await run(GOOD, 'elsewhere', { place: '/other' });
  await run(GOOD, 'own', { askedBy: 'operator' });
  await run(GOOD, 'read', { kind: 'restore-check' });
  await run(GOOD, 'gone');
  const made = await schedules.listMade('/backups', [
    ...['old', 'new', 'failed', 'elsewhere', 'own', 'read'],
  ]);
  expect(made.map(({ folder }) => folder)).toEqual(['new', 'old']);
  expect(made.every(({ job }) => /^[0-9a-f]{32}$/.test(job))).toBe(true);
  expect(made.every(({ startedAt, endedAt }) => startedAt <= endedAt)).toBe(true);
  const others = await makePool(database.db);
  const other = createScheduleStore(processOf(database.db, others), others);
  expect(await other.listMade('/backups', ['old', 'new'])).toEqual([]);
  const all = ['old', 'new', 'failed', 'elsewhere', 'own', 'read'];
  expect(await schedules.listBroken('/backups', all)).toEqual(['failed']);
  expect(await other.listBroken('/backups', all)).toEqual([]);
});
