import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ARCHIVED_TABLES } from '../../src/store/recovery/full-backup/archive-tables.ts';
import { WITNESSED_TABLES } from '../../src/store/witness/witnessed-tables.ts';

const SOURCE = join(import.meta.dirname, '../../src');

/**
 * `changing` refuses in a process that has known the pool before a restore. These write past it, each with the reason why
 * what it writes does no harm in a pool that has just been restored. `audit`: the log goes on, whatever becomes of the pool.
 */
const PAST_IT: Readonly<Record<string, string>> = {
  'store/audit/audit-retention.ts': 'audit',
  'store/audit/audit-store.ts': 'audit',
  'store/audit/checkpoint-store.ts': 'audit',
  'store/audit/standby-marks.ts': 'numbers by which a standby shows how far it is',
  'store/audit/standby-reader.ts': 'it reads',
  'store/audit/usage-store.ts': 'audit: counted from the records',
  'store/database.ts': 'changing itself',
  'store/directory/credential-store.ts': 'an assertion that was used stays used',
  'store/keys/object-ledger.ts': 'of resident pools, which have no full backups',
  'store/keys/object-rows.ts': 'it reads',
  'store/keys/rotation-store.ts':
    'who works on a rotation, for some minutes; what it makes is a change',
  'store/operations/encryption-count-store.ts': 'counts that a restore never lowers either',
  'store/pool/pool-store.ts': 'in a change that makes the pool',
  'store/audit/audit-rows.ts': 'audit',
  'store/pool/replica-store.ts': 'which replicas there are, whatever they serve',
  'store/recovery/full-backup/staged-pool.ts': 'the restore itself',
  'store/recovery/full-backup/staged-rows.ts': 'the restore itself',
  'store/recovery/jobs/job-store.ts':
    'what a restore says of itself, which the pool does not become',
  'store/recovery/root-keys/pending-generation-store.ts':
    'who is waited for; what becomes of root keys goes by `changing`',
  'store/recovery/root-keys/root-key-offer-store.ts': 'a question, which decides nothing',
  'store/recovery/root-keys/sealed-rows.ts':
    'the same key wrapped by other root keys, where the row still is what it was',
  'store/resources/operation-store.ts': 'who is at an operation, for seconds',
  'store/witness/state-reader.ts': 'it reads',
};

const WRITES = [
  /\.transaction\(\)/,
  /\b(?:db|on|connection)\s*\.(?:insertInto|updateTable|deleteFrom)\(/,
  /\b(?:insert into|update|delete from)\b[^`]*`\s*\.execute\(\s*(?:db|on|connection)\b/,
  /'anyhow'/,
];

describe('who writes to a pool', () => {
  test('does it by `changing`, or is named with the reason', () => {
    const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' });
    const found = files.filter(
      (file) =>
        file.endsWith('.ts') &&
        WRITES.some((write) => write.test(readFileSync(join(SOURCE, file), 'utf8'))),
    );
    expect(found.sort()).toEqual(Object.keys(PAST_IT).sort());
  });

  test('is found by a verification where it goes past it, since what a restore replaces is witnessed', () => {
    const witnessed = WITNESSED_TABLES.map(({ name }) => name);
    const others = ARCHIVED_TABLES.filter(
      ({ name, onRestore }) => onRestore === 'replaced' && !witnessed.includes(name),
    );
    expect(others.map(({ name }) => name)).toEqual(['federated_credential_use']);
  });
});
