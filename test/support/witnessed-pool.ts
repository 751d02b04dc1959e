import { randomBytes, randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import pg from 'pg';
import { openSignedLog } from '../../src/compose/signed-log.ts';
import type { VerificationRequest } from '../../src/core/audit/verification/verification-report.ts';
import { changing } from '../../src/store/database.ts';
import { createPool } from '../../src/store/pool/pool-store.ts';
import { createRsaHsm } from './fakes/rsa-hsm.ts';
import { newChange, openConnections, openStoreDatabase, processOf } from './store.ts';

/** A row of each witnessed table but the pool's own, as SQL; `$pool` is the pool. */
export const ROWS: Readonly<Record<string, string>> = {
  key: `insert into key (pool_id, name_key, name, current_version) values ($pool, 'ledger', 'Ledger', repeat('a', 32))`,
  key_version: `insert into key_version (pool_id, name_key, version, key_type, curve, operations, exportable, enabled,
      not_before, expires, created, updated, tags, public_1, public_2, root_generation, blob, seal)
    values ($pool, 'ledger', repeat('a', 32), 'EC-HSM', 'P-256', '{sign}', false, true,
      1, 2, 3, 4, '{"a": "b"}', '\\x01', '\\x02', 1, '\\x03', decode(repeat('00', 32), 'hex'))`,
  rotation_policy: `insert into rotation_policy (pool_id, name_key, actions, expiry_time, created, updated, rotate_at)
    values ($pool, 'ledger', '[]', 'P90D', 1, 2, 3)`,
  signing_key: `insert into signing_key (pool_id, version, name, bits, public_exponent, operations, public_1, public_2,
      root_generation, blob, seal)
    values ($pool, 'v', '~tokens', 2048, 65537, '{sign}', '\\x01', '\\x02', 1, '\\x03', '\\x04')`,
  statement_key: `insert into statement_key (pool_id, purpose, version, bits, public_exponent, public_1, public_2,
      root_generation, blob, seal, certificate)
    values ($pool, 'release', repeat('b', 32), 2048, 65537, '\\x01', '\\x02', 1, '\\x03',
      decode(repeat('00', 32), 'hex'), '\\x05')`,
  setting: `insert into setting values ($pool, 'AllowRsa15', 'true')`,
  role_definition: `insert into role_definition (pool_id, id, role_name, description, kind, permissions, assignable_scopes)
    values ($pool, '00000000-0000-4000-8000-000000000001', 'Role', 'what it is for', 'custom', '[]', '{/}')`,
  role_permission: `insert into role_permission values ($pool, '00000000-0000-4000-8000-000000000001', 'keys/read')`,
  role_assignment: `insert into role_assignment values ($pool, '00000000-0000-4000-8000-000000000002', 'alice',
    '00000000-0000-4000-8000-000000000001', '/keys', 'for a while', 9)`,
  application: `insert into application values ($pool, '00000000-0000-4000-8000-000000000003',
    '00000000-0000-4000-8000-000000000004', 'client', '2026-01-01T00:00Z')`,
  application_password: `insert into application_password values ($pool, '00000000-0000-4000-8000-000000000003',
    '00000000-0000-4000-8000-000000000005', 'name', 'abc', 'scrypt', '2026-01-01T00:00Z', '2027-01-01T00:00Z')`,
  application_certificate: `insert into application_certificate values ($pool, '00000000-0000-4000-8000-000000000003',
    '00000000-0000-4000-8000-000000000006', 'name', '\\x01', '\\x02', '2026-01-01T00:00Z', '2027-01-01T00:00Z')`,
  federated_credential: `insert into federated_credential values ($pool, '00000000-0000-4000-8000-000000000003',
    '00000000-0000-4000-8000-000000000007', 'name', 'https://issuer.example', 'subject', 'audience', 'what it is for')`,
  service_principal: `insert into service_principal values ($pool, '00000000-0000-4000-8000-000000000008',
    '00000000-0000-4000-8000-000000000004', 'client', true)`,
  directory_user: `insert into directory_user values ($pool, '00000000-0000-4000-8000-000000000009', 'Alice',
    'alice@example.com', true)`,
  user_identity: `insert into user_identity values ($pool, 'https://issuer.example', 'the "subject"',
    '00000000-0000-4000-8000-000000000009')`,
  directory_group: `insert into directory_group values ($pool, '00000000-0000-4000-8000-00000000000a', 'group', 'of people')`,
  group_member: `insert into group_member values ($pool, '00000000-0000-4000-8000-00000000000a',
    '00000000-0000-4000-8000-000000000009')`,
};

/** The same of tables that are younger than the witnesses. The pool's own root keys are there with the pool. */
export const LATER_ROWS: typeof ROWS = {
  retired_root_generation: `insert into retired_root_generation (pool_id, number, retired_at, destroyed_at, proof)
    values ($pool, 7, '2026-01-01T00:00Z', '2026-01-02T00:00Z', '\\x01')`,
  root_voucher: `insert into root_voucher (pool_id, by_generation, generation, proof)
    values ($pool, 1, 7, decode(repeat('00', 32), 'hex'))`,
  pending_root_generation: `insert into pending_root_generation (pool_id, generation, after_generation, root_check, retires,
      retirement)
    values ($pool, 7, 1, decode(repeat('00', 32), 'hex'), '{1}', decode(repeat('00', 32), 'hex'))`,
  backup_keys: `insert into backup_keys (pool_id, version, root_generation, blob, mac_blob, seal)
    values ($pool, repeat('d', 32), 1, '\\x01', '\\x02', decode(repeat('00', 32), 'hex'))`,
  security_domain_download: `insert into security_domain_download (pool_id, generation, required, custodians)
    values ($pool, 1, 2, '{one,two,three}')`,
  transfer_key: `insert into transfer_key (pool_id, version, bits, public_exponent, public_1, public_2,
      root_generation, blob, seal, certificate, expires_at)
    values ($pool, repeat('e', 32), 4096, 65537, '\\x01', '\\x02', 1, '\\x03', decode(repeat('00', 32), 'hex'),
      '\\x05', '2027-01-01T00:00Z')`,
  backup_schedule: `insert into backup_schedule (pool_id, kind, place, cron, time_zone, keep_count, with_audit_records)
    values ($pool, 'full', '/backups', '30 2 * * *', 'UTC', 14, false)`,
  subscription: `insert into subscription values ($pool, '00000000-0000-4000-8000-00000000000c', 'Production')`,
  resource_group: `insert into resource_group values ($pool, '00000000-0000-4000-8000-00000000000c', 'keys', 'Keys',
    'local', '{"a": "b"}')`,
  managed_hsm: `insert into managed_hsm values ($pool, 'payroll', 'Payroll', '00000000-0000-4000-8000-00000000000c',
    'keys', 'Keys', 'local', 'B', 'Standard_B1', '{"a": "b"}', 90, true, '{alice}', '{}', 'Succeeded', 'ready',
    '2026-01-01T00:00Z', '2026-04-01T00:00Z')`,
  control_assignment: `insert into control_assignment values ($pool, '00000000-0000-4000-8000-00000000000d', 'alice',
    '8e3af657-a8ff-443c-a75c-2fe8c4bcb635', '/')`,
  uploaded_domain: `insert into uploaded_domain (pool_id, of_pool_id, generation, root_check)
    values ($pool, '00000000-0000-4000-8000-00000000000b', 3, decode(repeat('00', 32), 'hex'))`,
  uploaded_backup_keys: `insert into uploaded_backup_keys
    values ($pool, '00000000-0000-4000-8000-00000000000b', repeat('f', 32), 0, '\\x01', '\\x02',
      decode(repeat('00', 32), 'hex'))`,
};

/**
 * A pool with a row in each witnessed table, all of them put there by changes that are on record, or by what `prepare`
 * does as the tables' owner.
 */
export async function openWitnessedPool({
  prepare,
}: {
  readonly prepare?: (asOwner: (statement: string) => Promise<unknown>) => Promise<void>;
} = {}) {
  const database = await openStoreDatabase();
  const owner = new pg.Client({ connectionString: database.ownerUrl });
  await owner.connect();
  // The service may not write to all of the columns that are tried here.
  const db = openConnections(database.ownerUrl);
  const pool = {
    id: randomUUID(),
    name: 'main',
    tenantId: randomUUID(),
    softDeleteDays: 90,
    purgeProtection: false,
    rootGeneration: 1,
    rootCheck: randomBytes(32),
    keeping: 'sealed' as const,
    activation: 'hsm' as const,
    restores: 0,
    isHome: true,
  };
  const context = processOf(db, pool);
  const ofPool = (statement: string) => statement.replaceAll('$pool', `'${pool.id}'`);
  const change = (...statements: readonly string[]) =>
    changing(
      context,
      newChange('Change'),
      () => [],
      async (trx) => {
        for (const statement of statements) await sql.raw(ofPool(statement)).execute(trx);
        return true;
      },
    );
  const signedLog = openSignedLog(context, pool, createRsaHsm());
  const asOwner = async <Row extends object>(statement: string) =>
    (await owner.query<Row>(ofPool(statement))).rows;
  if (prepare === undefined) {
    await createPool(context, pool, newChange('PoolCreate'));
    await change(...Object.values({ ...ROWS, ...LATER_ROWS }));
  } else await prepare(asOwner);
  return {
    database,
    context,
    pool,
    /** As the service changes rows: with a record. */
    change,
    /** As whoever owns the tables can, beside the service. */
    asOwner,
    /** Signs what is on record, as a process does every few seconds. */
    sign: () => signedLog.checkpoints([context.chain]).sign(),
    verify: (request: Partial<VerificationRequest> = {}) =>
      signedLog.verifier.verify({ after: 0, recordLimit: 1e6, ...request }),
    close: async () => {
      await owner.end();
      await db.destroy();
      await database.close();
    },
  };
}
