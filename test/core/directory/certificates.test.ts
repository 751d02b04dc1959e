import { beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { X509Certificate } from 'node:crypto';
import { registerCertificates } from '../../../src/core/directory/certificates.ts';
import { ServiceError } from '../../../src/core/errors.ts';
import { makeClientCertificate } from '../../support/client-certificates.ts';

const NOT_BEFORE = new Date('2026-05-01T12:00:00Z');
const NOT_AFTER = new Date('2027-05-01T12:00:00Z');
/** A UTCTime (RFC 5280 §4.1.2.5.1). */
const BEGINNING = '260501120000Z';
const ENDING = '270501120000Z';

const badParameter = expect.objectContaining({ code: 'BadParameter' });
const newGuid = () => '00000000-0000-4000-8000-000000000000';
const register = (certificate: Uint8Array, dates: { startsAt?: Date; endsAt?: Date } = {}) =>
  registerCertificates([{ certificate, ...dates }], [], newGuid)[0];

let der: Buffer;
beforeAll(async () => {
  const made = await makeClientCertificate(NOT_BEFORE, NOT_AFTER);
  der = new X509Certificate(made.certificate).raw;
});

/** The certificate with one of its dates as another text of the same length. */
function withDate(date: string, other: string): Buffer {
  const at = der.indexOf(date);
  expect([at > 0, other.length]).toEqual([true, date.length]);
  const changed = Buffer.from(der);
  changed.write(other, at, 'latin1');
  return changed;
}

describe('a certificate of an application', () => {
  test.each([
    ['as its own dates say', {}, [NOT_BEFORE, NOT_AFTER]],
    [
      'from a later date on, where one is asked for',
      { startsAt: new Date('2026-06-01T00:00:00Z') },
      [new Date('2026-06-01T00:00:00Z'), NOT_AFTER],
    ],
    [
      'no longer than it is asked for',
      { endsAt: new Date('2026-06-01T00:00:00Z') },
      [NOT_BEFORE, new Date('2026-06-01T00:00:00Z')],
    ],
    [
      'no longer than its own dates say, whatever is asked for',
      { startsAt: new Date('2020-01-01T00:00:00Z'), endsAt: new Date('2040-01-01T00:00:00Z') },
      [NOT_BEFORE, NOT_AFTER],
    ],
  ])('is good %s', (_, dates, expected) => {
    const registered = register(der, dates);
    expect([registered?.startsAt, registered?.endsAt]).toEqual(expected);
  });

  test.each([
    ['a beginning that is no date', () => withDate(BEGINNING, '26x501120000Z')],
    [
      'a beginning of garbage',
      () => withDate(BEGINNING, '\xff\xfe\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a'),
    ],
    ['an end that is no date', () => withDate(ENDING, '279999999999Z')],
    ['an end in another form', () => withDate(ENDING, '2705011200+02')],
    ['an end before its beginning', () => withDate(ENDING, '250501120000Z')],
    ['a beginning after its end', () => withDate(BEGINNING, '280501120000Z')],
    ['nothing in it', () => Buffer.alloc(0)],
    ['half of it', () => der.subarray(0, der.length / 2)],
    ['zeros', () => Buffer.alloc(300)],
    ['other DER', () => Buffer.from('3003020105', 'hex')],
    // The subjectPublicKeyInfo's algorithm, rsaEncryption, becomes one that nobody knows.
    [
      'a key of no known kind',
      () => {
        const changed = Buffer.from(der);
        changed.writeUInt8(0x7f, changed.indexOf('2a864886f70d010101', 'hex') + 8);
        return changed;
      },
    ],
  ])('is refused with %s', (_, bytes) => {
    expect(() => register(bytes())).toThrow(badParameter);
  });

  test('is refused where the dates that are asked for leave none', () => {
    for (const dates of [
      { startsAt: NOT_AFTER },
      { endsAt: NOT_BEFORE },
      { startsAt: new Date('2027-01-01T00:00:00Z'), endsAt: new Date('2026-12-01T00:00:00Z') },
    ])
      expect(() => register(der, dates)).toThrow(badParameter);
  });

  test('is refused where it comes twice', () => {
    const twice = [{ certificate: der }, { certificate: der, keyId: 'other' }];
    expect(() => registerCertificates(twice, [], newGuid)).toThrow(badParameter);
  });

  /** Its dates as they are written, or the code of the refusal; throws what is no refusal. */
  function outcomeOf(bytes: Uint8Array): string {
    try {
      const registered = register(bytes);
      return `${registered?.startsAt.toISOString() ?? ''} ${registered?.endsAt.toISOString() ?? ''}`;
    } catch (error) {
      if (error instanceof ServiceError) return error.code;
      throw error;
    }
  }
  const OUTCOME = /^(?:BadParameter|\d{4}-\S+ \d{4}-\S+)$/;

  test('is taken or refused, and never breaks anything, however it is altered', () => {
    const outcomes = { taken: 0, refused: 0 };
    const place = fc.nat(der.length - 1);
    const altered = fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(altered, fc.option(place), (changes, end) => {
        const bytes = Buffer.from(der).subarray(0, end ?? der.length);
        for (const [at, value] of changes) if (at < bytes.length) bytes.writeUInt8(value, at);
        const outcome = outcomeOf(bytes);
        expect(outcome).toMatch(OUTCOME);
        outcomes[outcome === 'BadParameter' ? 'refused' : 'taken'] += 1;
      }),
      { seed: 20_261_127, numRuns: 2_000 },
    );
    expect(Math.min(outcomes.taken, outcomes.refused)).toBeGreaterThan(100);
  });

  test('is taken or refused whatever its dates hold', () => {
    const text = fc.stringMatching(/^[0-9A-Z+\-:. \xff]{13}$/);
    fc.assert(
      fc.property(text, fc.constantFrom(BEGINNING, ENDING), (other, date) => {
        expect(outcomeOf(withDate(date, other))).toMatch(OUTCOME);
      }),
      { seed: 20_261_127, numRuns: 2_000 },
    );
  });
});
