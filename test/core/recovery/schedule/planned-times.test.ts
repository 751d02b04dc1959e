import { describe, expect, test } from '@jest/globals';
import { nextByCron, requireCron } from '../../../../src/backup/schedule/cron-times.ts';
import {
  dueSince,
  nextPlanned,
  scheduleToRun,
} from '../../../../src/core/recovery/schedule/planned-times.ts';
import type { BackupState, BackupTimes } from '../../../../src/core/recovery/schedule/ports.ts';

const NIGHTLY = { cron: '30 2 * * *', timeZone: 'UTC' };
const at = (time: string) => new Date(`2026-11-${time}Z`);

function stateAt(
  now: Date,
  times: BackupTimes,
  { setAt = at('01T12:00'), made = undefined as Date | undefined, failures = 0, failed = now } = {},
): BackupState {
  return {
    now,
    schedule: { times, place: '/backups', keep: {}, withAuditRecords: false, setAt },
    newestAt: made,
    newestScheduledAt: made,
    failures,
    ahead: 0,
    lastFailure: failures === 0 ? undefined : { at: failed, code: 'StorageRefused', message: '' },
  };
}

describe('the next backup', () => {
  test.each<[string, BackupTimes, Date | undefined, Date]>([
    ['by cron is the first time after it was set', NIGHTLY, undefined, at('02T02:30')],
    ['by cron is the first time after the newest', NIGHTLY, at('05T02:30:04'), at('06T02:30')],
    ['of an interval is at once', { everySeconds: 21_600 }, undefined, at('01T12:00')],
    [
      'of an interval keeps to when it was set, however late the newest was',
      { everySeconds: 21_600 },
      at('03T00:17'),
      at('03T06:00'),
    ],
    [
      'doesn’t go by backups from before it was set',
      { everySeconds: 21_600 },
      at('01T11:59'),
      at('01T12:00'),
    ],
  ])('%s', (_promise, times, made, wanted) => {
    expect(nextPlanned(stateAt(at('20T00:00'), times, { made }), nextByCron)).toEqual(wanted);
  });

  test('is none where nothing is planned, or no such time will come', () => {
    const none = { ...stateAt(at('20T00:00'), NIGHTLY), schedule: undefined };
    expect(nextPlanned(none, nextByCron)).toBeUndefined();
    const never = stateAt(at('20T00:00'), { cron: '0 0 30 2 *', timeZone: 'UTC' });
    expect(nextPlanned(never, nextByCron)).toBeUndefined();
  });

  test.each([
    ['2026-03-28T12:00:00Z', '2026-03-29T01:00:00Z', 'when clocks leave its hour out'],
    ['2026-10-24T12:00:00Z', '2026-10-25T00:30:00Z', 'when clocks have its hour twice'],
    ['2026-10-25T00:30:00Z', '2026-10-26T01:30:00Z', 'and no second time in that night'],
  ])('after %s is at %s in Zurich, %s', (after, wanted) => {
    expect(nextByCron('30 2 * * *', 'Europe/Zurich', new Date(after))).toEqual(new Date(wanted));
  });
});

describe('a backup is due', () => {
  test.each<[string, Date | undefined]>([
    ['02T02:29:59', undefined],
    ['02T02:30:00', at('02T02:30')],
    ['09T00:00:00', at('02T02:30')],
  ])('at %s since %s, and one makes up for all that were missed', (now, since) => {
    const state = stateAt(at(now), NIGHTLY);
    expect(dueSince(state, nextByCron)).toEqual(since);
    const caughtUp = stateAt(at(now), NIGHTLY, { made: at(now) });
    expect(dueSince(caughtUp, nextByCron)).toBeUndefined();
  });

  test.each([
    [1, 59_999, false],
    [1, 60_000, true],
    [2, 119_999, false],
    [2, 120_000, true],
    [7, 3_599_999, false],
    [7, 3_600_000, true],
    [50, 3_600_000, true],
  ])('and tried again: after %i failures and %i ms: %s', (failures, ms, isTime) => {
    const now = at('02T08:00');
    const failed = new Date(now.getTime() - ms);
    const state = stateAt(now, NIGHTLY, { failures, failed });
    expect(scheduleToRun(state, nextByCron) !== undefined).toBe(isTime);
  });
});

test.each([
  ['* * * * * *', 'UTC', '--cron'],
  ['61 * * * *', 'UTC', '--cron'],
  ['', 'UTC', '--cron'],
  ['0 0 30 2 *', 'UTC', 'no time that will come'],
  ['30 2 * * *', 'Mars/Olympus', '--time-zone'],
  ['2026-11-28T12:05:07', 'UTC', 'five fields'],
  ['@daily', 'UTC', 'five fields'],
])('"%s" in %s is refused', (cron, timeZone, words) => {
  expect(() => {
    requireCron(cron, timeZone, at('01T00:00'));
  }).toThrow(words);
});
