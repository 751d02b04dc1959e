import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { createRefusalLimit, type RefusalLimit } from '../../src/audit/refusal-limit.ts';
import type { AuditRecord } from '../../src/core/audit/record.ts';
import { FakeClock } from '../support/fakes/clock.ts';

const LIMITS = { perAddress: 3, inAll: 10, addresses: 5, windowMs: 3_600_000 };
let clock: FakeClock;
let written: AuditRecord[];
let refusals: RefusalLimit;
beforeEach(() => {
  clock = new FakeClock('2026-05-01T12:00:00Z');
  written = [];
  const auditLog = { appendLater: (record: AuditRecord) => void written.push(record) };
  refusals = createRefusalLimit(LIMITS, {
    auditLog,
    clock,
    newGuid: randomUUID,
    onError: (error) => {
      throw error;
    },
  });
});
afterEach(() => {
  refusals.close();
});

const refusal = (clientAddress: string, operation = 'Authentication'): AuditRecord => ({
  time: clock.now(),
  requestId: randomUUID(),
  operation,
  clientAddress,
  outcome: 'failure',
  status: 401,
  errorCode: 'Unauthorized',
  durationMs: 1,
});
const admit = (count: number, address: string, operation?: string) =>
  Array.from({ length: count }, () => refusals.admit(refusal(address, operation))).filter(Boolean)
    .length;
const changes = () => written.map(({ clientAddress, change }) => [clientAddress, change?.after]);

describe('refusals of strangers', () => {
  test('have records of their own up to the limit of their address, and are counted beyond it', () => {
    expect(admit(10, '192.0.2.1')).toBe(3);
    expect(admit(1, '192.0.2.2')).toBe(1);
    expect(written).toEqual([]);
    refusals.flush();
    expect(written).toEqual([
      expect.objectContaining({
        operation: 'RefusalsCounted',
        clientAddress: '192.0.2.1',
        outcome: 'failure',
        status: 401,
        errorCode: 'Unauthorized',
        reason: '7 more refusals of this address, without records of their own.',
        change: {
          after: { operation: 'Authentication', count: 7, from: clock.now(), to: clock.now() },
        },
      }),
    ]);
  });

  test('are counted for each operation, from the first to the last', () => {
    admit(4, '192.0.2.1');
    const from = clock.now();
    admit(1, '192.0.2.1', 'TokenIssue');
    clock.advance(5);
    admit(1, '192.0.2.1', 'TokenIssue');
    refusals.flush();
    expect(changes()).toEqual([
      ['192.0.2.1', { operation: 'Authentication', count: 1, from, to: from }],
      ['192.0.2.1', { operation: 'TokenIssue', count: 2, from, to: clock.now() }],
    ]);
  });

  test('of one network of IPv6 are those of one address', () => {
    expect(admit(3, '2001:db8:1:2::1')).toBe(3);
    expect(admit(3, '2001:db8:1:2:ffff::9')).toBe(0);
    expect(admit(3, '2001:db8:1:3::1')).toBe(3);
  });

  test('of many addresses are bounded together, and those of too many are counted as one', () => {
    const addresses = Array.from({ length: 100 }, (_, index) => `192.0.2.${index}`);
    const admitted = addresses.reduce((sum, address) => sum + admit(2, address), 0);
    expect(admitted).toBe(10);
    refusals.flush();
    expect(written.length).toBeLessThanOrEqual(LIMITS.addresses + 1);
    const counts = written.map(({ change }) => (change?.after as { count: number }).count);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(190);
    expect(written.at(-1)?.clientAddress).toBe('other addresses');
  });

  test('begin anew with each window, and what is counted at the end of the process is written', () => {
    admit(4, '192.0.2.1');
    refusals.flush();
    expect(admit(4, '192.0.2.1')).toBe(3);
    refusals.close();
    expect(written).toHaveLength(2);
    refusals.flush();
    expect(written).toHaveLength(2);
  });
});
