import { expect, test } from '@jest/globals';
import { canonicalRecord, CHAIN_START, linkHash } from '../../../src/core/audit/chain.ts';
import type { AuditRecord } from '../../../src/core/audit/record.ts';
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

test.each([
  [
    'with every text and number',
    RECORD,
    '0012b7f40c23e51d0970c46e9ac6044462b0c54f1ee156a5bf89099f802f1fe9',
  ],
  [
    'with every member',
    {
      ...RECORD,
      change: { before: { b: 1, a: 2 } },
      witnessed: [{ table: 'key', row: '["a"]', revision: 7, after: 'digest' }],
    },
    'd11a43de187ea28be53cb104fc3934e267f7d0a086e53a5077b7c1457b1d435e',
  ],
  ['with few members', MINIMAL, 'ee2b147c98f7372571a6a8c35f427bf7888abbdbc76ccc83252f62bb4923bba3'],
])('a record %s has the hash that earlier versions gave it', (_what, record, expected) => {
  const hash = linkHash(CHAIN_START, canonicalRecord('pool', PLACE, record));
  expect(Buffer.from(hash).toString('hex')).toBe(expected);
});

test('what an entry has besides its record is not covered by its hash', () => {
  const entry = { ...RECORD, ...PLACE, id: 'its id', hash: CHAIN_START };
  expect(canonicalRecord('pool', PLACE, entry)).toBe(canonicalRecord('pool', PLACE, RECORD));
});
