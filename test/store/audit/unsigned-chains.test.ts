import { randomUUID } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { canonicalRecord, linkHash } from '../../../src/core/audit/chain.ts';
import { openTestAuditLog, type TestAuditLog, type TestWriter } from '../../support/audit-log.ts';

const opened: TestAuditLog[] = [];
let auditLog: TestAuditLog;
let killed: TestWriter;
let other: TestWriter;
beforeEach(async () => {
  auditLog = await openTestAuditLog(new Date().toISOString());
  opened.push(auditLog);
  killed = auditLog.newWriter();
  other = auditLog.newWriter();
  await other.write(2);
  await other.checkpoints.sign();
  await killed.write(4);
  await killed.checkpoints.sign();
  await killed.write(3);
});
afterAll(async () => {
  for (const one of opened) await one.close();
});

const cutOff = (after: number) =>
  auditLog.asOwner('delete from audit_event where chain = $1 and sequence > $2', [
    killed.chain.id(),
    after,
  ]);

/** A record that whoever writes to the database puts at the end of a chain, as well linked as any. */
async function forge(): Promise<void> {
  const chain = killed.chain.id();
  const { rows } = await auditLog.asOwner(
    'select sequence, hash from audit_event where chain = $1 order by sequence desc limit 1',
    [chain],
  );
  const [newest] = rows as { sequence: string; hash: Buffer }[];
  const sequence = Number(newest?.sequence) + 1;
  const record = {
    time: auditLog.clock.now(),
    requestId: randomUUID(),
    operation: 'KeySign',
    outcome: 'success' as const,
    status: 200,
    durationMs: 1,
  };
  const hash = linkHash(
    newest?.hash ?? Buffer.alloc(0),
    canonicalRecord(auditLog.poolId, { chain, sequence }, record),
  );
  await auditLog.asOwner(
    `insert into audit_event (pool_id, chain, sequence, time, request_id, operation, outcome, status, duration_ms, hash)
     values ($1, $2, $3, $4, $5, 'KeySign', 'success', 200, 1, $6)`,
    [auditLog.poolId, chain, sequence, record.time, record.requestId, Buffer.from(hash)],
  );
}

describe('what a killed process has left unsigned', () => {
  test('is signed by another within seconds, and said to be', async () => {
    await other.checkpoints.countersign();
    expect(await auditLog.verify()).toMatchObject({ verified: true, unsigned: 3, adopted: 0 });
    auditLog.clock.advance(16);
    await other.checkpoints.countersign();
    expect(await auditLog.verify()).toMatchObject({ verified: true, unsigned: 0, adopted: 3 });
  });

  test('can be neither cut off nor changed from then on', async () => {
    auditLog.clock.advance(16);
    await other.checkpoints.countersign();
    await cutOff(5);
    expect(await auditLog.verify()).toMatchObject({
      verified: false,
      problem: { kind: 'removed', chain: killed.chain.id(), sequence: 6 },
    });
  });

  test('is signed once, however many look', async () => {
    auditLog.clock.advance(16);
    for (const writer of [other, auditLog.newWriter(), other])
      await writer.checkpoints.countersign();
    const { rows } = await auditLog.asOwner(
      'select count(*) from audit_checkpoint_head where chain = $1',
      [killed.chain.id()],
    );
    expect(rows).toEqual([{ count: '2' }]);
  });

  test('ends after a quarter of an hour, and nothing may follow', async () => {
    auditLog.clock.advance(16);
    await other.checkpoints.countersign();
    auditLog.clock.advance(15 * 60);
    await other.checkpoints.countersign();
    expect(await auditLog.verify()).toMatchObject({ verified: true, adopted: 3 });
    await forge();
    expect(await auditLog.verify()).toMatchObject({
      verified: false,
      problem: { kind: 'inserted', chain: killed.chain.id(), sequence: 8 },
    });
  });
});

describe('a process that was only slow', () => {
  test('goes on, and signs what others had countersigned', async () => {
    auditLog.clock.advance(16);
    await other.checkpoints.countersign();
    await killed.write(2);
    await killed.checkpoints.sign();
    expect(await auditLog.verify()).toMatchObject({ verified: true, unsigned: 0, adopted: 0 });
  });

  test('does not sign what somebody has added to its chain meanwhile, though another did', async () => {
    await forge();
    auditLog.clock.advance(16);
    await other.checkpoints.countersign();
    await killed.write(1);
    await killed.checkpoints.sign();
    expect(await auditLog.verify()).toMatchObject({
      verified: false,
      problem: { chain: killed.chain.id(), sequence: 8 },
    });
  });
});

test('a living process signs its own in time, and nobody else does', async () => {
  for (let round = 0; round < 5; round += 1) {
    await killed.write(3);
    auditLog.clock.advance(6);
    await killed.checkpoints.runOnce();
    await other.checkpoints.countersign();
  }
  expect(await auditLog.verify()).toMatchObject({ verified: true, unsigned: 0, adopted: 0 });
});
