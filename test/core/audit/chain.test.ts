import { expect, test } from '@jest/globals';
import { canonicalRecord } from '../../../src/core/audit/chain.ts';
import { type AuditRecord } from '../../../src/core/audit/record.ts';
import { canonicalJson } from '../../../src/core/audit/canonical-json.ts';

const RECORD: Required<Omit<AuditRecord, 'change' | 'witnessed'>> = {
  time: new Date('2026-01-01T00:00:00.123Z'),
  requestId: '00000000-0000-4000-8000-000000000001',
  clientRequestId: 'a "quoted" \\ \u007f \u2028 text',
  tenantId: 'tenant',
  principalId: 'principal',
  applicationId: 'application',
  principalName: 'Zoë \u{1f511}',
  clientAddress: '::1',
  userAgent: 'agent/1.0',
  operation: 'KeySign',
  action: 'Microsoft.KeyVault/managedHsm/keys/sign/action',
  scope: '/keys/payments',
  keyName: 'payments',
  keyVersion: '0123456789abcdef0123456789abcdef',
  algorithm: 'ES256',
  outcome: 'failure',
  status: 403,
  errorCode: 'AccessDenied',
  reason: 'a reason',
  durationMs: 1.5,
};
const PLACE = { chain: '99999999-9999-4999-8999-999999999999', sequence: 7 };
const { time, ...rest } = RECORD;
const MINIMAL: AuditRecord = {
  time,
  requestId: rest.requestId,
  operation: 'Unknown',
  outcome: 'success',
  status: 200,
  durationMs: 0,
};

test.each([
  ['with every member', RECORD],
  [
    'with a change, whose members are sorted too',
    { ...RECORD, change: { before: { b: 1, a: 2 } } },
  ],
  [
    'with witnesses, whose members are sorted too',
    { ...RECORD, witnessed: [{ table: 'key', row: '["a"]', revision: 7, after: 'digest' }] },
  ],
  ['with few members', MINIMAL],
])('the canonical bytes of a record %s are RFC 8785 JSON', (_what, record) => {
  expect(canonicalRecord('pool', PLACE, record)).toBe(
    canonicalJson({ ...record, time: record.time.toISOString(), pool: 'pool', ...PLACE }),
  );
});
