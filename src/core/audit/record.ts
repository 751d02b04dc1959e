import { type Witness } from './witness.ts';

/**
 * One line of the audit log. Every field is named here, and nothing else is ever written: no plaintext, ciphertext, digest,
 * signature, token or secret has a field to go to.
 */
export interface AuditRecord {
  /** When the record was made: the request began `durationMs` before. */
  readonly time: Date;
  /** x-ms-request-id of the answer; a GUID. */
  readonly requestId: string;
  readonly clientRequestId?: string;
  readonly tenantId?: string;
  readonly principalId?: string;
  readonly applicationId?: string;
  readonly principalName?: string;
  readonly clientAddress?: string;
  readonly userAgent?: string;
  /** What was asked for, such as KeySign or RoleAssignmentCreate. */
  readonly operation: string;
  /** The data action that it needed, such as Microsoft.KeyVault/managedHsm/keys/sign/action. */
  readonly action?: string;
  readonly scope?: string;
  readonly keyName?: string;
  readonly keyVersion?: string;
  readonly algorithm?: string;
  readonly outcome: 'success' | 'failure';
  readonly status: number;
  readonly errorCode?: string;
  /** Why a credential was refused, or what else there is to say of a refusal: sentences of ours. */
  readonly reason?: string;
  readonly durationMs: number;
  /** For changes of keys, the directory and roles: what was before and after, and what went along. Never secrets. */
  readonly change?: {
    readonly before?: unknown;
    readonly after?: unknown;
    /** Such as the role assignments of a principal that was removed. */
    readonly along?: unknown;
  };
  /** For changes: the states of the rows that they changed, before and after. */
  readonly witnessed?: readonly Witness[];
}

/** The error code of records of answers that were not given for want of the audit log or the store. */
export const ANSWER_WITHHELD = 'AnswerWithheld';

/** What is noted of a request while it is served, by whoever learns it first. */
export type AuditNotes = Partial<
  Pick<AuditRecord, 'scope' | 'keyName' | 'keyVersion' | 'algorithm' | 'change'>
>;

/**
 * A change of state that must become durable in one transaction with its audit record: stores write `toRecord()` where
 * they write the change, and call `committed` once both are.
 */
export interface AuditedChange {
  /** Who makes it, by object id; undefined for the service itself. */
  readonly principalId: string | undefined;
  /** Adds to what the record will say; of `change` each part by itself. */
  note(notes: AuditNotes): void;
  /** The record of success, as of now. */
  toRecord(): AuditRecord;
  committed(): void;
}

/** An entry of the audit log as it is read back. */
export interface AuditEvent extends AuditRecord {
  /** Its chain and its place there. */
  readonly id: string;
  readonly chain: string;
  readonly sequence: number;
  /** SHA-256, 32 bytes. */
  readonly hash: Uint8Array;
}

export interface AuditFilter {
  readonly from?: Date;
  readonly to?: Date;
  readonly principalId?: string;
  readonly keyName?: string;
  readonly operation?: string;
  /** The data action that was needed. */
  readonly action?: string;
  readonly outcome?: 'success' | 'failure';
  /** Newest first where absent. */
  readonly oldestFirst?: true;
}

/** Forms of a record as JSON: our own, and that of Managed HSM's diagnostic logs. */
export type RecordFormats = Readonly<Record<'strongroom' | 'azure', (event: AuditEvent) => object>>;
