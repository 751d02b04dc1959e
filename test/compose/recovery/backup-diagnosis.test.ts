import { expect, test } from '@jest/globals';
import { findingOf, timesAheadOf } from '../../../src/compose/backup-diagnosis.ts';
import type { BackupState } from '../../../src/core/recovery/schedule/ports.ts';

const at = (time: string) => new Date(`2026-11-${time}:00Z`);
const SCHEDULE = {
  times: { cron: '0 3 * * *', timeZone: 'UTC' },
  place: '/backups',
  keep: {},
  withAuditRecords: false,
  setAt: at('01T12:00'),
};
const FAILURE = { at: at('02T03:01'), code: 'StorageRefused', message: '/backups: it is full.' };

test.each<[string, Partial<BackupState>, 'ok' | 'warning', string]>([
  ['nothing is planned', { schedule: undefined }, 'ok', 'None are planned'],
  ['the first one is to come', { now: at('02T02:00') }, 'ok', 'due at 2026-11-02T03:00'],
  ['one is under way', { now: at('02T03:10') }, 'ok', 'due at 2026-11-02T03:00'],
  ['none was made at its time', { now: at('02T03:16') }, 'warning', 'none was made yet'],
  [
    'none is as young as is planned',
    { now: at('09T04:00'), newestAt: at('08T03:00'), newestScheduledAt: at('08T03:00') },
    'warning',
    'due since 2026-11-09T03:00',
  ],
  [
    'tries have failed',
    { now: at('02T05:00'), lastFailure: FAILURE, failures: 3 },
    'warning',
    '/backups: it is full.',
  ],
  [
    'the newest is as young as is planned',
    { now: at('09T04:00'), newestAt: at('09T03:00'), newestScheduledAt: at('09T03:00') },
    'ok',
    'is of 2026-11-09T03:00',
  ],
])('doctor says where %s', (_case, state, severity, words) => {
  const finding = findingOf({
    now: at('01T12:00'),
    schedule: SCHEDULE,
    newestAt: undefined,
    newestScheduledAt: undefined,
    lastFailure: undefined,
    failures: 0,
    ahead: 0,
    ...state,
  });
  expect(finding).toMatchObject({ severity, sentence: expect.stringContaining(words) });
});

test('doctor warns of rows that say a time which is still to come', () => {
  expect(timesAheadOf({ ahead: 0 })).toEqual([]);
  expect(timesAheadOf({ ahead: 2 })).toEqual([
    expect.objectContaining({
      severity: 'warning',
      sentence: expect.stringContaining('2 of the rows'),
    }),
  ]);
});
