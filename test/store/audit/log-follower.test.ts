import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { LogPosition } from '../../../src/core/audit/ports.ts';
import { createLogFollower } from '../../../src/store/audit/log-follower.ts';
import { openTestAuditLog, type TestAuditLog } from '../../support/audit-log.ts';

let auditLog: TestAuditLog;
beforeAll(async () => {
  // Chains are settled by the database's clock.
  auditLog = await openTestAuditLog(new Date(Date.now() - 3_600_000).toISOString());
});
afterAll(() => auditLog.close());

test('a position stays short however many chains have come and gone, and leaves nothing out', async () => {
  const follower = createLogFollower(auditLog);
  const steady = auditLog.newWriter();
  await steady.write(1);
  let position = await follower.end();
  const written: string[] = [];
  const read: string[] = [];
  const follow = async (limit: number) => {
    const page = await follower.read(position, limit);
    for (const { event, position: after } of page) {
      read.push(event.requestId);
      position = after;
    }
    return page.length;
  };
  for (let round = 0; round < 40; round += 1) {
    const brief = auditLog.newWriter();
    written.push(...(await brief.write(2)), ...(await steady.write(1)));
    brief.chain.end();
    await brief.checkpoints.sign();
    await follow(2);
    position = await follower.shorten(position);
  }
  while ((await follow(10)) > 0);
  position = await follower.shorten(position);
  expect(read.filter((id) => written.includes(id)).sort()).toEqual(written.sort());
  expect(new Set(read).size).toBe(read.length);
  // The steady one, that of the pool's keys, and the newest are all that can grow.
  expect(position.at.size).toBeLessThanOrEqual(3);
});

test('a chain that has just begun stays in the position until those before it are sure to be seen', async () => {
  const follower = createLogFollower(auditLog);
  const before = await follower.end();
  auditLog.clock.advance(3_600);
  const fresh = auditLog.newWriter();
  const [wanted] = await fresh.write(1);
  fresh.chain.end();
  await fresh.checkpoints.sign();
  const [found] = await follower.read(before, 10);
  expect(found?.event.requestId).toBe(wanted);
  const shortened: LogPosition = await follower.shorten(found?.position ?? before);
  expect(shortened.done).toBe(before.done);
  expect(await follower.read(shortened, 10)).toEqual([]);
});
