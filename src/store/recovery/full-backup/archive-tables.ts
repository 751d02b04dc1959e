/** A table whose rows go into full backups. */
export interface ArchivedTable {
  readonly name: string;
  /** Its primary key but for the pool: the order in which rows are read. */
  readonly keys: readonly string[];
  readonly onRestore: OnRestore;
  /** A column that counts rows of all pools: rows get new numbers, in the order of the old ones. */
  readonly renumbers?: string;
  /** Columns that stay out. */
  readonly omits?: readonly string[];
}

/**
 * By a restore into the pool of which the backup is; another pool that takes its place gets all of them. `replaced`: the rows
 * of the backup and no others. `added`: those that are there, and those of the backup that are not. `raised`: the larger
 * number, since what has been used up since stays used up. `kept`: as it is, since what the HSM holds, and what is on record,
 * has gone on.
 */
type OnRestore = 'replaced' | 'added' | 'raised' | 'kept';

function table(
  name: string,
  keys: string,
  onRestore: OnRestore,
  omits: readonly string[] = [],
): ArchivedTable {
  return { name, keys: keys === '' ? [] : keys.split(' '), onRestore, omits };
}

/** In an order in which they can be inserted, whatever refers to what. */
export const ARCHIVED_TABLES: readonly ArchivedTable[] = [
  table('pool', '', 'kept'),
  table('root_generation', 'number', 'kept'),
  table('retired_root_generation', 'number', 'kept'),
  table('root_voucher', 'by_generation generation', 'kept'),
  // Which pairs there were. The keys themselves are in the security domain, and an archive under one of them can't give them.
  table('backup_keys', 'version', 'kept', ['root_generation', 'blob', 'mac_blob', 'seal']),
  table('setting', 'name', 'replaced'),
  table('role_definition', 'id', 'replaced'),
  table('role_permission', 'role_id action', 'replaced'),
  table('role_assignment', 'id', 'replaced'),
  table('application', 'id', 'replaced'),
  table('application_password', 'application_id key_id', 'replaced'),
  table('application_certificate', 'application_id key_id', 'replaced'),
  table('federated_credential', 'application_id id', 'replaced'),
  table('federated_credential_use', 'application_id id', 'replaced'),
  table('service_principal', 'id', 'replaced'),
  table('directory_user', 'id', 'replaced'),
  table('user_identity', 'issuer subject', 'replaced'),
  table('directory_group', 'id', 'replaced'),
  table('group_member', 'group_id member_id', 'replaced'),
  // The pools behind them have gone on.
  table('subscription', 'id', 'kept'),
  table('resource_group', 'subscription_id name_key', 'kept'),
  table('managed_hsm', 'name_key', 'kept'),
  table('control_assignment', 'id', 'replaced'),
  table('signing_key', 'version', 'replaced'),
  // The audit log of the time since is signed by them.
  table('statement_key', 'version', 'added'),
  table('key', 'name_key', 'replaced'),
  table('key_version', 'name_key version', 'replaced'),
  table('rotation_policy', 'name_key', 'replaced'),
  table('gcm_use', 'version', 'raised'),
  { ...table('audit_chain', 'chain', 'kept'), renumbers: 'number' },
  table('audit_checkpoint', 'number', 'kept'),
  table('audit_checkpoint_head', 'chain number', 'kept'),
  table('audit_event', 'time chain sequence', 'kept'),
];

/** Tables that stay out of full backups, each with the reason. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  hsm_object_intent: 'of pools whose keys are objects of the HSM, which have no full backups',
  transfer_key: 'a key that is used once, to take the security domain of another pool',
  uploaded_domain: 'the root keys of another pool, which are its own once it was restored',
  uploaded_backup_keys: 'the same',
  security_domain_download: 'how far a download has come, in the HSM that is there',
  audit_event_unchained: 'from before records were linked; nothing reads it',
  audit_usage: 'counted from the records',
  audit_key_use: 'counted from the records',
  audit_usage_position: 'how far the records are counted',
  audit_witness: 'an index over the records, which a restore makes again from them',
  audit_witness_pending: 'what an upgrade has left to do, which the first start does',
  sign_in_counter: 'credentials that were refused in the last minute',
  pending_root_generation: 'root keys that wait for the HSMs that are there',
  root_key_awaited: 'the same',
  root_key_offer: 'a question to the processes that serve now',
  standby_mark: 'numbers of the processes that read on a standby now',
  replica_process: 'processes that serve now',
  recovery_job: 'backups and restores that were made here: this one is still under way',
  managed_hsm_operation: 'what is done to other pools now',
  backup_schedule:
    "where this pool's service writes backups, and removes some: one that was restored for a trial must not",
  schema_migration: 'the manifest says which schema it was',
};
