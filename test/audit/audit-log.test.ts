import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createAuditLog } from '../../src/audit/audit-log.ts';
import type { AuditRecord } from '../../src/core/audit/record.ts';
import { ServiceError } from '../../src/core/errors.ts';
import { FakeAuditWriter } from '../support/fakes/audit-writer.ts';

const record = (requestId: string): AuditRecord => ({
  time: new Date('2026-01-01T00:00:00Z'),
  requestId,
  operation: 'KeySign',
  outcome: 'success',
  status: 200,
  durationMs: 1,
});
const records = (count: number) => Array.from({ length: count }, (_, index) => record(`${index}`));
const ids = (written: readonly AuditRecord[]) => written.map(({ requestId }) => requestId);

function open(limits: Partial<Parameters<typeof createAuditLog>[0]> = {}) {
  const writer = new FakeAuditWriter();
  const auditLog = createAuditLog({
    writer,
    queueLimit: 1000,
    batchLimit: 500,
    deadlineMs: 5_000,
    ...limits,
  });
  return { writer, auditLog };
}

const AUDIT_UNAVAILABLE = expect.objectContaining({ code: 'AuditUnavailable' });
const gone = () => new ServiceError('StoreUnavailable', 'The database cannot be reached.');

describe('a record', () => {
  test('that comes alone is written at once', async () => {
    const { writer, auditLog } = open();
    const appended = auditLog.append(record('only'));
    expect(writer.writes).toEqual([1]);
    await appended;
    expect(ids(writer.durable)).toEqual(['only']);
  });

  test('is durable when its append resolves, and not a moment before', async () => {
    const { writer, auditLog } = open();
    const release = writer.hold();
    let isResolved = false;
    const appended = auditLog.append(record('only')).then(() => {
      isResolved = true;
      return ids(writer.durable);
    });
    await delay(20);
    expect(isResolved).toBe(false);
    release();
    await expect(appended).resolves.toEqual(['only']);
  });
});

describe('where other requests are under way', () => {
  test('a write waits for their records, and goes as soon as all are there', async () => {
    const { writer, auditLog } = open({ requestsUnderWay: () => 6 });
    const appended = records(6).map((one) => auditLog.append(one));
    expect(writer.writes).toEqual([]);
    await Promise.all(appended);
    expect(writer.writes).toEqual([6]);
  });

  test('a write waits no longer than a moment for those that do not come', async () => {
    const { writer, auditLog } = open({ requestsUnderWay: () => 1_000 });
    await Promise.all(records(3).map((one) => auditLog.append(one)));
    expect(writer.writes).toEqual([3]);
  });

  test('a write does not wait for a few', async () => {
    const { writer, auditLog } = open({ requestsUnderWay: () => 4 });
    const appended = auditLog.append(record('first'));
    expect(writer.writes).toEqual([1]);
    await appended;
  });

  test('a batch that is full does not wait', async () => {
    const { writer, auditLog } = open({ requestsUnderWay: () => 1_000, batchLimit: 1 });
    const appended = auditLog.append(record('first'));
    expect(writer.writes).toEqual([1]);
    await appended;
  });
});

describe('records that come while one is written', () => {
  test('go together in the next write', async () => {
    const { writer, auditLog } = open();
    await Promise.all(records(500).map((one) => auditLog.append(one)));
    expect(writer.writes).toEqual([1, 499]);
  });

  test('go in several writes when they are more than one may take', async () => {
    const { writer, auditLog } = open();
    await Promise.all(records(1000).map((one) => auditLog.append(one)));
    expect(writer.writes).toEqual([1, 500, 499]);
  });

  test('keep their order, and no two writes are under way at once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 7 }),
        async (pauses, batchLimit) => {
          const { writer, auditLog } = open({ batchLimit });
          const appended: Promise<void>[] = [];
          for (const [index, pause] of pauses.entries()) {
            appended.push(auditLog.append(record(`${index}`)));
            for (let turn = 0; turn < pause; turn += 1) await Promise.resolve();
          }
          await Promise.all(appended);
          expect(ids(writer.durable)).toEqual(pauses.map((_, index) => `${index}`));
          expect(Math.max(...writer.writes)).toBeLessThanOrEqual(batchLimit);
          expect(writer.mostAtOnce).toBe(1);
        },
      ),
    );
  });
});

describe('a full queue', () => {
  test('refuses the next record at once, and takes records again when there is room', async () => {
    const { writer, auditLog } = open({ queueLimit: 3 });
    const release = writer.hold();
    const taken = records(4).map((one) => auditLog.append(one));
    expect(auditLog.waiting).toBe(3);
    await expect(auditLog.append(record('refused'))).rejects.toEqual(AUDIT_UNAVAILABLE);
    release();
    await Promise.all(taken);
    await auditLog.append(record('later'));
    expect(ids(writer.durable)).toEqual(['0', '1', '2', '3', 'later']);
  });
});

describe('a writer that hangs', () => {
  test('holds no request for longer than the deadline', async () => {
    const { writer, auditLog } = open({ deadlineMs: 50 });
    const release = writer.hold();
    const began = performance.now();
    const outcomes = await Promise.allSettled(records(3).map((one) => auditLog.append(one)));
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(outcomes).toEqual(
      Array.from({ length: 3 }, () => ({ status: 'rejected', reason: AUDIT_UNAVAILABLE })),
    );
    release();
    await auditLog.close();
  });

  test('and comes back still writes what was given up: the answer was withheld, the operation was not', async () => {
    const { writer, auditLog } = open({ deadlineMs: 50 });
    const release = writer.hold();
    await Promise.allSettled(records(3).map((one) => auditLog.append(one)));
    expect(writer.durable).toEqual([]);
    release();
    await auditLog.append(record('later'));
    expect(ids(writer.durable)).toEqual(['0', '1', '2', 'later']);
  });

  test('does not hold up the end of the process', async () => {
    const { writer, auditLog } = open({ deadlineMs: 50 });
    const release = writer.hold();
    const appended = Promise.allSettled([auditLog.append(record('stuck'))]);
    const began = performance.now();
    await auditLog.close();
    expect(performance.now() - began).toBeLessThan(2_000);
    release();
    await appended;
  });
});

describe('a store that cannot be reached', () => {
  test('refuses all records of the write, which is not tried again: it may stand already', async () => {
    const { writer, auditLog } = open();
    writer.refusal = gone;
    const outcomes = await Promise.allSettled(records(10).map((one) => auditLog.append(one)));
    expect(outcomes.map(({ status }) => status)).toEqual(Array(10).fill('rejected'));
    expect(writer.writes).toEqual([1, 9]);
  });

  test('is the cause of the error, which says nothing of it itself', async () => {
    const { writer, auditLog } = open();
    const cause = gone();
    writer.refusal = () => cause;
    await expect(auditLog.append(record('refused'))).rejects.toMatchObject({
      name: 'ServiceError',
      code: 'AuditUnavailable',
      message: 'The audit log cannot be written.',
      cause,
    });
  });

  test('is tried anew with the next record', async () => {
    const { writer, auditLog } = open();
    writer.refusal = gone;
    await expect(auditLog.append(record('refused'))).rejects.toEqual(AUDIT_UNAVAILABLE);
    writer.refusal = () => undefined;
    await auditLog.append(record('taken'));
    expect(ids(writer.durable)).toEqual(['taken']);
  });

  test('while a bad record is sought refuses the rest at once, and nothing stands twice', async () => {
    const { writer, auditLog } = open();
    const release = writer.hold();
    // The write of all nine is refused as bad; of its halves the first is taken, and then the store is gone.
    writer.refusal = (written) => {
      if (written.length === 9) return new Error('bad record');
      return writer.writes.length > 3 ? gone() : undefined;
    };
    const appended = Promise.allSettled(records(10).map((one) => auditLog.append(one)));
    release();
    const outcomes = await appended;
    expect(writer.writes).toEqual([1, 9, 4, 5]);
    expect(ids(writer.durable)).toEqual(['0', '1', '2', '3', '4']);
    expect(outcomes.map(({ status }) => status === 'fulfilled')).toEqual([
      ...Array<boolean>(5).fill(true),
      ...Array<boolean>(5).fill(false),
    ]);
  });
});

describe('records that the store cannot take', () => {
  const isStandIn = ({ reason }: AuditRecord) => reason?.includes('stands in its place') === true;

  test('are replaced by such as say so, in order, and keep nobody waiting', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 64 }), async (areBad) => {
        const { writer, auditLog } = open();
        writer.refusal = (written) =>
          written.some((one) => areBad[Number(one.requestId)] === true && !isStandIn(one))
            ? new Error('bad')
            : undefined;
        await Promise.all(records(areBad.length).map((one) => auditLog.append(one)));
        expect(ids(writer.durable)).toEqual(areBad.map((_isBad, index) => `${index}`));
        expect(writer.durable.map(isStandIn)).toEqual(areBad);
        expect(auditLog.lost).toBe(0);
      }),
    );
  });

  test('cost the others few writes: one among 500 takes no more than 21', async () => {
    for (const bad of ['1', '250', '499']) {
      const { writer, auditLog } = open();
      writer.refusal = (written) =>
        written.some((one) => one.requestId === bad && !isStandIn(one))
          ? new Error('bad')
          : undefined;
      await Promise.all(records(500).map((one) => auditLog.append(one)));
      expect(writer.durable).toHaveLength(500);
      expect(writer.writes.length).toBeLessThanOrEqual(21);
    }
  });

  test('are refused where the writer throws before it promises anything', async () => {
    const { auditLog } = open({
      writer: {
        write: () => {
          throw new Error('at once');
        },
      },
    });
    await expect(auditLog.append(record('bad'))).rejects.toEqual(AUDIT_UNAVAILABLE);
  });
});

describe('closing', () => {
  test('waits for what was handed in', async () => {
    const { writer, auditLog } = open({ batchLimit: 2 });
    const appended = Promise.all(records(5).map((one) => auditLog.append(one)));
    await auditLog.close();
    expect(writer.durable).toHaveLength(5);
    await appended;
  });

  test('is done at once where nothing waits', async () => {
    await expect(open({ deadlineMs: 60_000 }).auditLog.close()).resolves.toBeUndefined();
  });
});

test.each(['queueLimit', 'batchLimit', 'deadlineMs'])('a %s below one is refused', (limit) => {
  for (const value of [0, -1, 1.5, Number.NaN])
    expect(() => open({ [limit]: value })).toThrow(RangeError);
});

describe('what is recorded after the fact', () => {
  const settled = async (writer: FakeAuditWriter, count: number) => {
    for (let tries = 0; tries < 400 && writer.durable.length < count; tries += 1) await delay(10);
  };

  test('is written when the store is back, with nobody asking', async () => {
    const { writer, auditLog } = open();
    writer.refusal = gone;
    await expect(auditLog.append(record('refused'))).rejects.toEqual(AUDIT_UNAVAILABLE);
    auditLog.appendLater(record('first'));
    auditLog.appendLater(record('second'));
    await delay(20);
    expect(writer.durable).toEqual([]);
    writer.refusal = () => undefined;
    await settled(writer, 2);
    expect(ids(writer.durable)).toEqual(['first', 'second']);
    expect(auditLog.lost).toBe(0);
    await auditLog.close();
  });

  test('does not hold up what somebody waits for', async () => {
    const { writer, auditLog } = open();
    writer.refusal = (written) => (ids(written).includes('later') ? gone() : undefined);
    auditLog.appendLater(record('later'));
    await auditLog.append(record('asked for'));
    expect(ids(writer.durable)).toEqual(['asked for']);
    await auditLog.close();
  });

  test('is bounded, and what is given up is counted', async () => {
    const { writer, auditLog } = open({ queueLimit: 3 });
    const release = writer.hold();
    for (const one of records(5)) auditLog.appendLater(one);
    expect(auditLog.lost).toBe(2);
    release();
    await settled(writer, 3);
    expect(ids(writer.durable)).toEqual(['0', '1', '2']);
    await auditLog.close();
  });

  test('and cannot be written is replaced, and stands in the way of nothing', async () => {
    const { writer, auditLog } = open();
    writer.refusal = (written) =>
      written.some(({ requestId, reason }) => requestId === '1' && reason === undefined)
        ? new Error('bad')
        : undefined;
    for (const one of records(3)) auditLog.appendLater(one);
    await settled(writer, 3);
    expect(ids(writer.durable)).toEqual(['0', '1', '2']);
    expect(auditLog.lost).toBe(0);
    await auditLog.close();
  });

  test('waits where the store takes nothing at all, and is written once it does', async () => {
    const { writer, auditLog } = open();
    writer.refusal = () => new Error('permission denied');
    for (const one of records(3)) auditLog.appendLater(one);
    while (writer.writes.length < 3) await delay(1);
    writer.refusal = () => undefined;
    await settled(writer, 3);
    expect(ids(writer.durable)).toEqual(['0', '1', '2']);
    expect(auditLog.lost).toBe(0);
    await auditLog.close();
  });
});
