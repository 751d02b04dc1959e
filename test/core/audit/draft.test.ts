import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AuditDraft } from '../../../src/core/audit/draft.ts';
import { FakeClock } from '../../support/fakes/clock.ts';

const START = '2026-01-01T00:00:00.000Z';
const REQUEST = { requestId: '00000000-0000-4000-8000-000000000001', operation: 'Unknown' };

let clock: FakeClock;
let draft: AuditDraft;
beforeEach(() => {
  clock = new FakeClock(START);
  draft = new AuditDraft(clock.now, REQUEST);
});

describe('a record', () => {
  test('says what was noted, the later note before the earlier', () => {
    draft.note({ operation: 'KeySign', keyName: 'payments' });
    draft.note({ algorithm: 'ES256', keyName: 'Payments' });
    expect(draft.finish({ status: 200 })).toEqual({
      ...REQUEST,
      operation: 'KeySign',
      keyName: 'Payments',
      algorithm: 'ES256',
      time: new Date(START),
      outcome: 'success',
      status: 200,
      durationMs: 0,
    });
  });

  test.each([
    [200, 'success'],
    [201, 'success'],
    [399, 'success'],
    [400, 'failure'],
    [503, 'failure'],
  ])('of an answer with status %i is one of %s', (status, outcome) => {
    expect(draft.finish({ status })).toMatchObject({ status, outcome });
  });

  test('names the error only where there is one', () => {
    expect(draft.finish({ status: 403, errorCode: 'AccessDenied' }).errorCode).toBe('AccessDenied');
    expect(draft.finish({ status: 200 }).errorCode).toBeUndefined();
  });

  test('has the time at which it is made, and how long the request has taken by then', () => {
    clock.advance(2);
    expect(draft.toRecord()).toMatchObject({
      time: new Date('2026-01-01T00:00:02Z'),
      durationMs: 2_000,
    });
    clock.advance(3);
    expect(draft.finish({ status: 200 })).toMatchObject({
      time: new Date('2026-01-01T00:00:05Z'),
      durationMs: 5_000,
    });
  });
});

describe('a record that goes with a change of state', () => {
  test('is one of success, with the change', () => {
    draft.note({ change: { before: { scope: '/' } } });
    expect(draft.toRecord()).toMatchObject({
      outcome: 'success',
      change: { before: { scope: '/' } },
    });
  });

  test('is committed when the store says so, and not by being made', () => {
    draft.toRecord();
    expect(draft.isCommitted).toBe(false);
    draft.committed();
    expect(draft.isCommitted).toBe(true);
  });
});

describe('texts from callers', () => {
  test('are shortened in the record only: who makes a change is known by the whole id', () => {
    draft.note({ principalId: 'x'.repeat(300) });
    expect(draft.principalId).toBe('x'.repeat(300));
    expect(draft.finish({ status: 200 }).principalId).toBe('x'.repeat(256));
  });

  test.each([
    ['plain words', 'az-cli/2.60 (Linux) "quoted" <b>', 'az-cli/2.60 (Linux) "quoted" <b>'],
    ['other scripts', 'Zürich 東京 🔑', 'Zürich 東京 🔑'],
    ['a forged line', 'agent\r\n{"outcome":"success"}', 'agent??{"outcome":"success"}'],
    ['a terminal’s escape sequence', '\u001b[2Jgone\u009b', '?[2Jgone?'],
    ['NUL, which Postgres refuses', 'a\0b', 'a?b'],
    ['the line ends of Unicode', 'a\u0085b\u2028c\u2029d', 'a?b?c?d'],
    ['half a character', 'a\ud83db', 'a?b'],
    ['256 characters', 'x'.repeat(256), 'x'.repeat(256)],
    ['more than 256 characters', 'x'.repeat(257), 'x'.repeat(256)],
    ['a character that the limit cuts in two', `${'x'.repeat(255)}🔑`, `${'x'.repeat(255)}?`],
  ])('with %s are kept as a line', (_, text, kept) => {
    draft.note({ userAgent: text });
    expect(draft.finish({ status: 200 }).userAgent).toBe(kept);
  });

  test('of any kind stay single, bounded lines that are valid Unicode, in every field', () => {
    const codeUnits = fc
      .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 600 })
      .map((units) => units.map((unit) => String.fromCharCode(unit)).join(''));
    const text = fc.oneof(codeUnits, fc.string({ unit: 'binary', maxLength: 600 }));
    const fields = fc.record({
      clientRequestId: text,
      principalName: text,
      userAgent: text,
      operation: text,
      scope: text,
      keyName: text,
      keyVersion: text,
      algorithm: text,
    });
    fc.assert(
      fc.property(fields, (noted) => {
        draft.note(noted);
        const record: Readonly<Record<string, unknown>> = { ...draft.finish({ status: 200 }) };
        for (const name of Object.keys(noted)) {
          expect(record[name]).not.toMatch(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u);
          expect(String(record[name]).length).toBeLessThanOrEqual(256);
        }
      }),
    );
  });
});
