/** A table whose rows are held against the audit log. The triggers of sql/0070_witness.sql have the same lists. */
export interface WitnessedTable {
  readonly name: string;
  /** The primary key but for the pool: columns, and their types in Postgres. */
  readonly keys: readonly (readonly [column: string, type: 'text' | 'uuid' | 'integer'])[];
  /** Columns that no record witnesses, each with the reason. */
  readonly skipped: Readonly<Record<string, string>>;
}

const SEALED = 'the seal covers it, and it changes when keys are wrapped by new root keys';

function table(
  name: string,
  keys: WitnessedTable['keys'],
  skipped: WitnessedTable['skipped'] = {},
): WitnessedTable {
  return { name, keys, skipped };
}

export const WITNESSED_TABLES: readonly WitnessedTable[] = [
  table('pool', []),
  table('key', [['name_key', 'text']]),
  table(
    'key_version',
    [
      ['name_key', 'text'],
      ['version', 'text'],
    ],
    { blob: SEALED, mac_blob: SEALED, seal: SEALED, root_generation: SEALED },
  ),
  table('signing_key', [['version', 'text']], {
    blob: SEALED,
    seal: SEALED,
    root_generation: SEALED,
  }),
  table('statement_key', [['version', 'text']], {
    blob: SEALED,
    seal: SEALED,
    root_generation: SEALED,
  }),
  table('root_generation', [['number', 'integer']]),
  table('retired_root_generation', [['number', 'integer']]),
  table('root_voucher', [
    ['by_generation', 'integer'],
    ['generation', 'integer'],
  ]),
  table('pending_root_generation', [['generation', 'integer']]),
  table('backup_keys', [['version', 'text']], {
    blob: SEALED,
    mac_blob: SEALED,
    seal: SEALED,
    root_generation: SEALED,
  }),
  table('security_domain_download', [['generation', 'integer']]),
  table('transfer_key', [['version', 'text']], {
    blob: SEALED,
    seal: SEALED,
    root_generation: SEALED,
  }),
  table('uploaded_domain', [['of_pool_id', 'uuid']]),
  table('uploaded_backup_keys', [
    ['of_pool_id', 'uuid'],
    ['version', 'text'],
  ]),
  table('rotation_policy', [['name_key', 'text']], {
    claimed_until: 'who works on a rotation that is due writes no record of that alone',
  }),
  table('setting', [['name', 'text']]),
  table('backup_schedule', [['kind', 'text']]),
  table('role_definition', [['id', 'uuid']]),
  table('role_permission', [
    ['role_id', 'uuid'],
    ['action', 'text'],
  ]),
  table('role_assignment', [['id', 'uuid']]),
  table('application', [['id', 'uuid']]),
  table('application_password', [
    ['application_id', 'uuid'],
    ['key_id', 'uuid'],
  ]),
  table('application_certificate', [
    ['application_id', 'uuid'],
    ['key_id', 'uuid'],
  ]),
  table('federated_credential', [
    ['application_id', 'uuid'],
    ['id', 'uuid'],
  ]),
  table('service_principal', [['id', 'uuid']]),
  table('directory_user', [['id', 'uuid']]),
  table('user_identity', [
    ['issuer', 'text'],
    ['subject', 'text'],
  ]),
  table('directory_group', [['id', 'uuid']]),
  table('group_member', [
    ['group_id', 'uuid'],
    ['member_id', 'uuid'],
  ]),
  table('subscription', [['id', 'uuid']]),
  table('resource_group', [
    ['subscription_id', 'uuid'],
    ['name_key', 'text'],
  ]),
  table('managed_hsm', [['name_key', 'text']]),
  table('control_assignment', [['id', 'uuid']]),
];

/** Tables whose rows no record witnesses, each with the reason. */
export const UNWITNESSED_TABLES: Readonly<Record<string, string>> = {
  hsm_object_intent:
    'objects of which no row tells yet, or any more: what permits to destroy them has a proof of the HSM',
  gcm_use: 'encryptions are counted in portions, which would be a record each',
  federated_credential_use: 'a sign-in is on record, and is no change of the directory',
  sign_in_counter: 'who is counted as guessing, for a minute',
  root_key_offer: 'a question to the processes that serve, which decides nothing',
  standby_mark: 'numbers by which a standby shows how far it is',
  root_key_awaited: 'for whom new root keys wait; that somebody is given up is on record',
  managed_hsm_operation: 'who is at an operation, for seconds; what comes of it is on record',
  replica_process: 'what a process says of itself, for seconds',
  recovery_job: 'what of a backup or a restore counts is in its records',
  audit_event: 'the records themselves: linked and signed',
  audit_event_unchained: 'from before records were linked; nothing reads it',
  audit_chain: 'the order in which chains were begun: what counts is in the records',
  audit_checkpoint: 'signed statements, each with the digest of the one before',
  audit_checkpoint_head: 'an index over the statements',
  audit_usage: 'counted from the records, and can be counted anew',
  audit_key_use: 'counted from the records, and can be counted anew',
  audit_usage_position: 'how far the records are counted',
  audit_witness: 'an index over the records, which a verification holds against them',
  audit_witness_pending: 'only what is put on record counts',
  schema_migration: 'a start compares its checksums with the files of sql/',
};
