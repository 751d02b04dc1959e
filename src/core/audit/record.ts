import type { AlwaysSaid, MaybeSaid } from './record-fields.ts';

/** One line of the audit log, as record-fields.ts lists its fields. */
export interface AuditRecord extends AlwaysSaid, MaybeSaid {}

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
