import type { ColumnType, Generated, GeneratedAlways, Selectable } from 'kysely';
import type { FieldColumns } from '../core/audit/record-fields.ts';
import type { KeyKeeping } from '../core/keys/key-keeping.ts';
import type { Activation } from '../core/pool/activation.ts';
import type { AskedBy, JobKind, RecoveryJob } from '../core/recovery/jobs/ports.ts';
import type { ProvisioningState } from '../core/resources/managed-hsm.ts';
import type { OperationKind } from '../core/resources/operation.ts';
import type { CertifiedKeyPurpose } from '../core/pool/certified-keys.ts';

/** bigint columns come as text from pg and go in as numbers. */
type Count = ColumnType<string, number, number>;
type Seconds = Count;
type NullableSeconds = ColumnType<string | null, number | null, number | null>;
type Json = ColumnType<unknown, string, string>;

interface PoolTable {
  id: string;
  name: string;
  tenant_id: string;
  created_at: Generated<Date>;
  soft_delete_days: number;
  purge_protection: boolean;
  root_generation: number;
  root_check: Buffer;
  key_keeping: KeyKeeping | null;
  activation: Activation | null;
  restoring_since: Date | null;
  restores: number | null;
  is_home: boolean | null;
  token_label: string | null;
  deleted_at: Date | null;
  purge_at: Date | null;
  network: ColumnType<unknown, string | undefined, string>;
}

interface KeyTable {
  pool_id: string;
  name_key: string;
  name: string;
  current_version: string;
  deleted_at: NullableSeconds;
  purge_at: NullableSeconds;
}

interface KeyVersionTable {
  pool_id: string;
  name_key: string;
  version: string;
  ordinal: Generated<string>;
  key_type: string;
  bits: number | null;
  curve: string | null;
  parameter_set: string | null;
  public_exponent: NullableSeconds;
  operations: string[];
  exportable: boolean;
  origin: Generated<'generated' | 'imported'>;
  release_policy: string | null;
  release_content_type: string | null;
  release_immutable: boolean | null;
  enabled: boolean;
  not_before: NullableSeconds;
  expires: NullableSeconds;
  created: Seconds;
  updated: Seconds;
  tags: Json;
  public_1: Buffer | null;
  public_2: Buffer | null;
  root_generation: number;
  blob: Buffer;
  mac_blob: Buffer | null;
  seal: Buffer;
}

interface HsmObjectIntentTable {
  pool_id: string;
  object_id: string;
  version: string;
  key_name: string;
  state: 'creating' | 'destroying' | 'retained';
  since: Generated<Date>;
  process: string;
  claimed_until: Generated<Date>;
  is_over: Generated<boolean>;
  is_absent: Generated<boolean>;
  permit: Generated<'making' | 'removal' | null>;
  permit_time: Generated<string | null>;
  permit_proof: Generated<Buffer | null>;
}

interface SigningKeyTable {
  pool_id: string;
  version: string;
  ordinal: Generated<string>;
  name: string;
  bits: number;
  public_exponent: Seconds;
  operations: string[];
  public_1: Buffer;
  public_2: Buffer;
  root_generation: number;
  blob: Buffer;
  seal: Buffer;
  created_at: Date;
  after_version: string | null;
}

interface RotationPolicyTable {
  pool_id: string;
  name_key: string;
  actions: Json;
  expiry_time: string | null;
  created: Seconds;
  updated: Seconds;
  rotate_at: NullableSeconds;
  notify_at: NullableSeconds;
  notified_version: string | null;
  notified_for: NullableSeconds;
  claimed_until: Generated<string>;
}

interface SettingTable {
  pool_id: string;
  name: string;
  value: string;
}

interface GcmUseTable {
  pool_id: string;
  version: string;
  reserved: Count;
}

interface CertifiedKeyTable {
  pool_id: string;
  purpose: CertifiedKeyPurpose;
  version: string;
  ordinal: Generated<string>;
  bits: number;
  public_exponent: Seconds;
  public_1: Buffer;
  public_2: Buffer;
  root_generation: number;
  blob: Buffer;
  seal: Buffer;
  certificate: Buffer;
}

interface RootGenerationTable {
  pool_id: string;
  number: number;
  root_check: Buffer;
  made_at: Generated<Date>;
  is_kept: boolean;
  retires: ColumnType<number[] | null, number[] | undefined, number[]>;
  retirement: ColumnType<Buffer | null, Buffer | undefined, Buffer>;
  opens_backups: boolean;
}

interface RootVoucherTable {
  pool_id: string;
  by_generation: number;
  generation: number;
  proof: Buffer;
}

interface RetiredRootGenerationTable {
  pool_id: string;
  number: number;
  retired_at: Generated<Date>;
  destroyed_at: ColumnType<Date | null, null | undefined, unknown>;
  proof: Buffer;
}

interface BackupKeysTable {
  pool_id: string;
  version: string;
  root_generation: number;
  blob: Buffer;
  mac_blob: Buffer;
  seal: Buffer;
  made_at: Generated<Date>;
}

interface RoleDefinitionTable {
  pool_id: string;
  id: string;
  role_name: string;
  description: string;
  kind: 'built-in' | 'custom';
  permissions: Json;
  assignable_scopes: string[];
  position: number;
}

interface RolePermissionTable {
  pool_id: string;
  role_id: string;
  action: string;
}

interface RoleAssignmentTable {
  pool_id: string;
  id: string;
  principal_id: string;
  role_id: string;
  scope: string;
  description: string | null;
  expires_on: NullableSeconds;
}

interface ApplicationTable {
  pool_id: string;
  id: string;
  app_id: string;
  display_name: string;
  created_at: Date;
}

interface ApplicationPasswordTable {
  pool_id: string;
  application_id: string;
  key_id: string;
  display_name: string | null;
  hint: string;
  hash: string;
  starts_at: Date;
  ends_at: Date;
}

interface ServicePrincipalTable {
  pool_id: string;
  id: string;
  app_id: string;
  display_name: string;
  enabled: boolean;
}

interface DirectoryUserTable {
  pool_id: string;
  id: string;
  display_name: string;
  user_principal_name: string;
  enabled: boolean;
  mail_nickname: string | null;
}

interface UserIdentityTable {
  pool_id: string;
  issuer: string;
  subject: string;
  user_id: string;
}

interface DirectoryGroupTable {
  pool_id: string;
  id: string;
  display_name: string;
  description: string | null;
  mail_nickname: string | null;
}

interface GroupMemberTable {
  pool_id: string;
  group_id: string;
  member_id: string;
}

interface ApplicationCertificateTable {
  pool_id: string;
  application_id: string;
  key_id: string;
  display_name: string | null;
  thumbprint: Buffer;
  certificate: Buffer;
  starts_at: Date;
  ends_at: Date;
}

interface FederatedCredentialTable {
  pool_id: string;
  application_id: string;
  id: string;
  name: string;
  issuer: string;
  subject: string;
  audience: string;
  description: string | null;
}

interface FederatedCredentialUseTable {
  pool_id: string;
  application_id: string;
  id: string;
  first_used_at: Generated<Date>;
}

interface AuditChainTable {
  pool_id: string;
  chain: string;
  number: Generated<string>;
  begun_at: Date;
}

interface AuditCheckpointTable {
  pool_id: string;
  number: string;
  time: Date;
  statement: string;
  is_retention: boolean;
}

interface AuditCheckpointHeadTable {
  pool_id: string;
  chain: string;
  number: string;
  sequence: string;
  ends: boolean;
}

interface AuditUsageTable {
  pool_id: string;
  period: 'hour' | 'day';
  start: Date;
  key_name: string;
  principal_id: string;
  operation: string;
  succeeded: string;
  failed: string;
  last_at: Date;
}

interface AuditKeyUseTable {
  pool_id: string;
  key_name: string;
  last_used_at: Date;
}

interface AuditEventTable extends FieldColumns {
  pool_id: string;
  chain: string;
  sequence: string;
  hash: Buffer;
}

interface AuditWitnessTable {
  pool_id: string;
  source: string;
  row_key: string;
  revision: string;
  before: string | null;
  after: string | null;
  found: 'upgrade' | 'retention' | null;
  chain: string;
  sequence: string;
  time: Date;
}

interface AuditWitnessPendingTable {
  pool_id: string;
  source: string;
  row_key: string;
  revision: string;
  after: string;
}

interface SecurityDomainDownloadTable {
  pool_id: string;
  generation: number;
  made_at: Generated<Date>;
  required: number;
  custodians: string[];
}

interface TransferKeyTable {
  pool_id: string;
  version: string;
  bits: number;
  public_exponent: Seconds;
  public_1: Buffer;
  public_2: Buffer;
  root_generation: number;
  blob: Buffer;
  seal: Buffer;
  certificate: Buffer;
  expires_at: Date;
}

interface UploadedDomainTable {
  pool_id: string;
  of_pool_id: string;
  generation: number;
  root_check: Buffer;
  proof: Buffer | null;
  uploaded_at: Generated<Date>;
}

interface UploadedBackupKeysTable {
  pool_id: string;
  of_pool_id: string;
  version: string;
  ordinal: number;
  blob: Buffer;
  mac_blob: Buffer;
  seal: Buffer;
}

interface RecoveryJobTable {
  id: string;
  pool_id: string;
  pool_name: string;
  kind: JobKind;
  status: RecoveryJob['status'];
  asked_by: AskedBy;
  principal_id: string | null;
  place: string | null;
  folder: string | null;
  key_name: string | null;
  started_at: Generated<Date>;
  seen_at: Generated<Date>;
  ended_at: Date | null;
  keys: number | null;
  bytes: NullableSeconds;
  error_code: string | null;
  error_message: string | null;
}

export interface ReplicaProcessTable {
  id: string;
  pool_id: string;
  replica_id: string;
  replica_name: string;
  version: string;
  schema: string;
  root_generations: number[];
  is_ready: boolean;
  reason: string | null;
  feed_lag_ms: number | null;
  clock_difference_ms: number | null;
  started_at: Date;
  seen_at: Generated<Date>;
}

interface BackupScheduleTable {
  pool_id: string;
  kind: 'full';
  place: string;
  cron: string | null;
  time_zone: string | null;
  every_seconds: number | null;
  keep_count: number | null;
  keep_seconds: number | null;
  with_audit_records: boolean;
  set_at: Generated<Date>;
}

interface RootKeyOfferTable {
  pool_id: string;
  generation: number;
  root_check: Buffer;
  offered_at: Generated<Date>;
}

interface StandbyMarkTable {
  pool_id: string;
  process: string;
  number: string;
  written_at: Generated<Date>;
}

interface PendingRootGenerationTable {
  pool_id: string;
  generation: number;
  after_generation: number;
  root_check: Buffer;
  retires: number[];
  retirement: Buffer;
  pair_version: string | null;
  pair_blob: Buffer | null;
  pair_mac_blob: Buffer | null;
  pair_seal: Buffer | null;
  made_at: Generated<Date>;
}

interface RootKeyAwaitedTable {
  pool_id: string;
  replica_name: string;
  seen_at: Generated<Date>;
  is_given_up: Generated<boolean>;
}

interface SubscriptionTable {
  pool_id: string;
  id: string;
  display_name: string;
}

interface ResourceGroupTable {
  pool_id: string;
  subscription_id: string;
  name_key: string;
  name: string;
  location: string;
  tags: Json;
}

interface ManagedHsmTable {
  pool_id: string;
  name_key: string;
  name: string;
  subscription_id: string;
  group_key: string;
  group_name: string;
  location: string;
  sku_family: string;
  sku_name: string;
  tags: Json;
  soft_delete_days: number;
  purge_protection: boolean;
  administrators: string[];
  network: Json;
  state: ProvisioningState;
  status_message: string;
  deleted_at: Date | null;
  purge_at: Date | null;
}

interface ControlAssignmentTable {
  pool_id: string;
  id: string;
  principal_id: string;
  role_id: string;
  scope: string;
}

interface ManagedHsmOperationTable {
  pool_id: string;
  id: string;
  kind: OperationKind;
  subscription_id: string;
  group_name: string;
  name_key: string;
  name: string;
  status: 'running' | 'succeeded' | 'failed';
  error_code: string | null;
  error_message: string | null;
  started_at: Generated<Date>;
  claimed_until: Generated<Date>;
  ended_at: Date | null;
}

interface SignInCounterTable {
  key: string;
  pool_id: GeneratedAlways<string>;
  points: number;
  expire: string | null;
}

/** The schema of sql/, as Kysely sees it. */
export interface Tables {
  pool: PoolTable;
  key: KeyTable;
  key_version: KeyVersionTable;
  hsm_object_intent: HsmObjectIntentTable;
  signing_key: SigningKeyTable;
  rotation_policy: RotationPolicyTable;
  setting: SettingTable;
  gcm_use: GcmUseTable;
  statement_key: CertifiedKeyTable;
  root_generation: RootGenerationTable;
  retired_root_generation: RetiredRootGenerationTable;
  root_voucher: RootVoucherTable;
  backup_keys: BackupKeysTable;
  security_domain_download: SecurityDomainDownloadTable;
  transfer_key: TransferKeyTable;
  uploaded_domain: UploadedDomainTable;
  uploaded_backup_keys: UploadedBackupKeysTable;
  role_definition: RoleDefinitionTable;
  role_permission: RolePermissionTable;
  role_assignment: RoleAssignmentTable;
  application: ApplicationTable;
  application_password: ApplicationPasswordTable;
  service_principal: ServicePrincipalTable;
  directory_user: DirectoryUserTable;
  user_identity: UserIdentityTable;
  directory_group: DirectoryGroupTable;
  group_member: GroupMemberTable;
  application_certificate: ApplicationCertificateTable;
  federated_credential: FederatedCredentialTable;
  federated_credential_use: FederatedCredentialUseTable;
  audit_chain: AuditChainTable;
  audit_event: AuditEventTable;
  audit_witness: AuditWitnessTable;
  audit_witness_pending: AuditWitnessPendingTable;
  audit_checkpoint: AuditCheckpointTable;
  audit_usage: AuditUsageTable;
  audit_key_use: AuditKeyUseTable;
  audit_checkpoint_head: AuditCheckpointHeadTable;
  recovery_job: RecoveryJobTable;
  replica_process: ReplicaProcessTable;
  sign_in_counter: SignInCounterTable;
  root_key_offer: RootKeyOfferTable;
  standby_mark: StandbyMarkTable;
  pending_root_generation: PendingRootGenerationTable;
  root_key_awaited: RootKeyAwaitedTable;
  backup_schedule: BackupScheduleTable;
  subscription: SubscriptionTable;
  resource_group: ResourceGroupTable;
  managed_hsm: ManagedHsmTable;
  control_assignment: ControlAssignmentTable;
  managed_hsm_operation: ManagedHsmOperationTable;
}

export type ManagedHsmRow = Selectable<ManagedHsmTable>;
export type AssignmentRow = Selectable<RoleAssignmentTable>;
export type PoolRow = Selectable<PoolTable>;
export type KeyVersionRow = Selectable<KeyVersionTable>;
export type SigningKeyRow = Selectable<SigningKeyTable>;
export type RotationPolicyRow = Selectable<RotationPolicyTable>;
export type CertifiedKeyRow = Selectable<CertifiedKeyTable>;
export type AuditEventRow = Selectable<AuditEventTable>;
export type RecoveryJobRow = Selectable<RecoveryJobTable>;
export type PendingRootGenerationRow = Selectable<PendingRootGenerationTable>;
export type BackupKeysRow = Selectable<BackupKeysTable>;
export type TransferKeyRow = Selectable<TransferKeyTable>;
