import { randomUUID } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { sql } from 'kysely';
import type { AuditFilter, AuditRecord } from '../../../src/core/audit/record.ts';
import { canonicalRecord, CHAIN_START, linkHash } from '../../../src/core/audit/chain.ts';
import { columnOf, FIELD_NAMES, RECORD_FIELDS } from '../../../src/core/audit/record-fields.ts';
import { createAuditReader, createAuditWriter } from '../../../src/store/audit/audit-store.ts';
import { eventsOf, makePool, openStoreDatabase, processOf } from '../../support/store.ts';

const database = await openStoreDatabase();
const { db } = database;
afterAll(() => database.close());

let context: ReturnType<typeof processOf>;
beforeEach(async () => {
  context = processOf(db, await makePool(db));
});

const record = (fields: Partial<AuditRecord> = {}): AuditRecord => ({
  time: new Date('2026-05-01T12:00:00.123Z'),
  requestId: randomUUID(),
  operation: 'KeySign',
  outcome: 'success',
  status: 200,
  durationMs: 1.25,
  ...fields,
});

const place = (sequence: number) => ({
  id: `${context.chain.id()}-${sequence}`,
  chain: context.chain.id(),
  sequence,
  hash: expect.any(Uint8Array),
});

describe('a record', () => {
  test('with every field comes back as it was written', async () => {
    const full: Required<AuditRecord> = {
      ...record(),
      clientRequestId: 'from the client',
      tenantId: randomUUID(),
      principalId: 'alice',
      applicationId: randomUUID(),
      principalName: 'Алиса',
      clientAddress: '2001:db8::1',
      userAgent: 'azsdk',
      operation: 'KeySign',
      action: 'Microsoft.KeyVault/managedHsm/keys/sign/action',
      scope: '/keys/payments',
      keyName: 'Payments',
      keyVersion: 'a'.repeat(32),
      algorithm: 'ES256',
      outcome: 'failure',
      status: 403,
      errorCode: 'AccessDenied',
      reason: 'because',
      change: { before: null, after: { tags: ['a', 1, true] } },
      witnessed: [{ table: 'key', row: '["a", "\\u20ac"]', revision: 7, after: 'digest' }],
    };
    await createAuditWriter(context).write([full]);
    const [event] = await eventsOf(context);
    expect(event).toEqual({ ...full, ...place(1) });
  });

  test('has a column for each of its fields, of the type that the list says', async () => {
    const { rows } = await sql<{ name: string; type: string }>`
      select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute
      where attrelid = 'audit_event'::regclass and attnum > 0 and not attisdropped`.execute(db);
    const types = new Map(rows.map(({ name, type }) => [name, type]));
    const listed = FIELD_NAMES.map((name) => [
      columnOf(name),
      RECORD_FIELDS[name].type.replace('timestamptz', 'timestamp with time zone'),
    ]);
    expect(listed.map(([column = '']) => [column, types.get(column)])).toEqual(listed);
    expect([...types.keys()].sort()).toEqual(
      [...listed.map(([column]) => column), 'pool_id', 'chain', 'sequence', 'hash'].sort(),
    );
  });

  test('says nothing of what it was not told', async () => {
    const sparse = record();
    await createAuditWriter(context).write([sparse]);
    const [event] = await eventsOf(context);
    expect(Object.keys(event ?? {}).sort()).toEqual(
      [...Object.keys(sparse), 'id', 'chain', 'sequence', 'hash'].sort(),
    );
  });
});

/** Texts as JSON can say them: halves of surrogate pairs too. */
const anyUnit = fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit));

describe('what a record says of a change', () => {
  async function writtenWith(change: NonNullable<AuditRecord['change']>) {
    await createAuditWriter(context).write([record({ change })]);
    const [event] = await eventsOf(context);
    if (event === undefined) throw new Error('no event');
    return event;
  }

  test.each<[string, unknown, unknown]>([
    ['half of a surrogate pair', '\ud800', '\ufffd'],
    ['the other half', '\udc00x', '\ufffdx'],
    ['U+0000', 'a\u0000b', 'a\ufffdb'],
    ['such as a name', { '\ud800': { '\u0000': 1 } }, { '\ufffd': { '\ufffd': 1 } }],
    ['such in a list', [['\udfff']], [['\ufffd']]],
  ])('is stored without what Postgres refuses: %s', async (_what, after, stored) => {
    const { change, reason } = await writtenWith({ before: null, after });
    expect(change).toEqual({ before: null, after: stored });
    expect(reason).toBe('What could not be stored of this record has been replaced.');
  });

  test.each([
    ['too large', 'x'.repeat(3 * 1024 * 1024)],
    ['no JSON', 1n],
  ])('is left out where it is %s, and the record says so', async (_what, after) => {
    const { change, reason } = await writtenWith({ after });
    expect(change).toEqual({ omitted: expect.any(String) });
    expect(reason).toContain('replaced');
  });

  test('is stored as it is where Postgres takes it', async () => {
    const after = { '😀': ['\\ud800', '\\u0000', '\ud83d\ude00', 1e300, 5e-324, -0.5] };
    const event = await writtenWith({ after });
    expect(event.change).toEqual({ after });
    expect(event.reason).toBeUndefined();
  });

  test('always can be stored, and is covered by the hash of what is read back', async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue({ stringUnit: anyUnit }), async (after) => {
        context = processOf(db, await makePool(db));
        const event = await writtenWith({ after });
        const canonical = canonicalRecord(context.poolId, event, event);
        expect(linkHash(CHAIN_START, canonical)).toEqual(event.hash);
      }),
      { numRuns: 50 },
    );
  });
});

describe('a batch', () => {
  test('of 500 is written whole, and read back newest first', async () => {
    const batch = Array.from({ length: 500 }, (_, index) =>
      record({ operation: `Operation${index}` }),
    );
    await createAuditWriter(context).write(batch);
    expect((await eventsOf(context)).map(({ requestId }) => requestId)).toEqual(
      batch.map(({ requestId }) => requestId).reverse(),
    );
  });

  test('with one record that cannot be written is not written at all', async () => {
    const batch = [record(), record({ requestId: 'not a GUID' }), record()];
    await expect(createAuditWriter(context).write(batch)).rejects.toThrow();
    expect(await eventsOf(context)).toEqual([]);
  });
});

describe('a reader', () => {
  const at = (time: string) => new Date(`2026-05-01T${time}Z`);
  beforeEach(async () => {
    await createAuditWriter(context).write([
      record({ time: at('09:00:00'), requestId: ids.nine, principalId: 'alice', keyName: 'One' }),
      record({ time: at('10:00:00'), requestId: ids.ten, principalId: 'bob', keyName: 'one' }),
      record({
        ...{ time: at('11:00:00'), requestId: ids.eleven, principalId: 'alice' },
        ...{ operation: 'KeyGet', action: 'read', outcome: 'failure', status: 404 },
      }),
    ]);
  });
  const ids = { nine: randomUUID(), ten: randomUUID(), eleven: randomUUID() };

  test.each<[AuditFilter, (keyof typeof ids)[]]>([
    [{}, ['eleven', 'ten', 'nine']],
    [{ from: at('10:00:00') }, ['eleven', 'ten']],
    [{ from: at('10:00:00.001') }, ['eleven']],
    [{ to: at('10:00:00') }, ['nine']],
    [{ to: at('10:00:00.001') }, ['ten', 'nine']],
    [{ from: at('10:00:00'), to: at('11:00:00') }, ['ten']],
    [{ principalId: 'alice' }, ['eleven', 'nine']],
    [{ principalId: 'ALICE' }, ['eleven', 'nine']],
    [{ operation: 'keyget', action: 'READ' }, ['eleven']],
    [{ keyName: 'ONE' }, ['ten', 'nine']],
    [{ keyName: 'on%' }, []],
    [{ operation: 'KeyGet' }, ['eleven']],
    [{ action: 'read' }, ['eleven']],
    [{ outcome: 'success' }, ['ten', 'nine']],
    [{ principalId: 'alice', keyName: 'one', outcome: 'success' }, ['nine']],
    [{ principalId: 'alice', keyName: 'one', outcome: 'failure' }, []],
  ])('asked for %j gets the events of %j o’clock', async (filter, expected) => {
    const { items } = await createAuditReader(context).listEvents(filter, { limit: 10 });
    expect(items.map(({ requestId }) => requestId)).toEqual(expected.map((name) => ids[name]));
  });

  test('of one pool sees nothing of another pool’s audit log', async () => {
    const elsewhere = processOf(db, await makePool(db));
    expect(await eventsOf(elsewhere)).toEqual([]);
    await createAuditWriter(elsewhere).write([record({ operation: 'Elsewhere' })]);
    expect(await eventsOf(context)).toHaveLength(3);
  });

  test.each(['', 'x', '-1', '1.5', '1e3', '9'.repeat(19), "1' or true"])(
    'refuses the cursor %j',
    async (place) => {
      const after = Buffer.from(place).toString('base64url');
      await expect(
        createAuditReader(context).listEvents({}, { limit: 3, after }),
      ).rejects.toMatchObject({ code: 'BadParameter' });
    },
  );
});
