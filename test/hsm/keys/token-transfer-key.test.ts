import { expect, test } from '@jest/globals';
import { judgeTransferKeys } from '../../../src/hsm/keys/token-transfer-key.ts';

const MINUTE_MS = 60_000;
const MADE_AT = new Date('2026-11-28T12:00:00Z');
const later = (minutes: number) => new Date(MADE_AT.getTime() + minutes * MINUTE_MS);
const key = { madeAt: MADE_AT };

test.each([[-5], [0], [24 * 60]])(
  'a transfer key is good %i minutes after it was made',
  (minutes) => {
    expect(judgeTransferKeys([key], later(minutes))).toEqual({ found: key, over: [] });
  },
);

test('it is over after a day, and so is what has no time', () => {
  const none = { madeAt: undefined };
  expect(judgeTransferKeys([key, none], later(24 * 60 + 1))).toEqual({
    found: undefined,
    over: [key, none],
  });
});

test('a clock that is behind is told of, and nothing is over by it', () => {
  expect(() => judgeTransferKeys([key], later(-60))).toThrow(
    'The transfer key was made at 2026-11-28T12:00:00.000Z, and the clock of this machine says 2026-11-28T11:00:00.000Z',
  );
});
