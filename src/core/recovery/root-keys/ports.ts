import type { AuditedChange } from '../../audit/record.ts';
import type { KeyMaterial, VerifiedMaterial } from '../../keys/key.ts';

/** Root keys by which rows may be sealed. */
export interface RootGeneration {
  readonly number: number;
  readonly madeAt: Date;
  /** New keys are sealed by it. */
  readonly isCurrent: boolean;
  /** Stays in the HSM when nothing is sealed by it any more. */
  readonly isKept: boolean;
  /** There may be backup blobs that nothing else opens. */
  readonly opensBackups: boolean;
  /** Rows that it seals: versions of keys, keys of the directory and of statements, the backup keys. */
  readonly rows: number;
}

/** Root keys by which nothing is sealed any more. */
export interface RetiredGeneration {
  readonly number: number;
  readonly retiredAt: Date;
  /** Absent while they are still in the HSM. */
  readonly destroyedAt?: Date;
  /** HMAC by the root keys that came after it. */
  readonly proof: Uint8Array;
}

/** An older generation says, by its HMAC, that a newer one comes after it. */
export interface Voucher {
  readonly by: number;
  readonly generation: number;
  readonly proof: Uint8Array;
}

/** By the HMAC of a generation: which older ones go once nothing is sealed by them. */
export interface Retirement {
  readonly retires: readonly number[];
  readonly proof: Uint8Array;
}

/** What root keys say of a new generation. */
export interface Endorsement {
  /** Of each older generation that the HSM holds. */
  readonly vouchers: readonly Voucher[];
  readonly retirement: Retirement;
}

/** Root keys that are to become the current ones. */
export interface PendingState {
  readonly number: number;
  readonly madeAt: Date;
  /** Names of the replicas whose HSM lacks them, as last seen. */
  readonly awaited: readonly string[];
}

export interface RootKeyState {
  /** Oldest first; the last one is the current one. */
  readonly generations: readonly RootGeneration[];
  readonly retired: readonly RetiredGeneration[];
  /** As the rows of the current generation have it; absent for the pool's first, and for one of an earlier version. */
  readonly retirement?: Retirement;
  readonly pending?: PendingState;
  /** The store's clock. */
  readonly now: Date;
}

/** Where sealed rows are. */
export const SEALED_TABLES = [
  'backup_keys',
  'signing_key',
  'statement_key',
  'transfer_key',
  'key_version',
] as const;
export type SealedTable = (typeof SEALED_TABLES)[number];

/** A row's material, wrapped by other root keys. */
export interface Rewrapped {
  readonly before: KeyMaterial;
  readonly after: VerifiedMaterial;
}

export interface RootKeyStore {
  currentGeneration(): Promise<number>;
  /** Those without which old backup blobs may not open. */
  listOpeningBackups(): Promise<readonly number[]>;
  /** Whether the database has a pool of that id, be it this one or another. */
  hasPool(id: string): Promise<boolean>;
  readState(): Promise<RootKeyState>;
  /** Whether something is left to do of a rotation that has begun. */
  isUnfinished(): Promise<boolean>;
  /**
   * Records a generation, and that new keys are sealed by it from now on. All older ones stay in the HSM that it doesn't retire.
   * @returns false where another one has become current meanwhile
   */
  makeCurrent(
    generation: {
      /** The one that was current when it was made. */
      readonly after: number;
      readonly number: number;
      readonly rootCheck: Uint8Array;
      readonly opensBackups: boolean;
      readonly endorsement: Endorsement;
    },
    change: AuditedChange,
  ): Promise<boolean>;
  /** Whether nothing is sealed by a generation any more, as its row says. */
  isRetired(generation: number): Promise<boolean>;
  listVouchers(): Promise<readonly Voucher[]>;
  /** In the place of what was said of the current generation until now. */
  putEndorsement(generation: number, said: Endorsement, change: AuditedChange): Promise<void>;
  /** Rows that aren't sealed by the current generation, in the order of their places. @param after the last one seen */
  listSealed(
    table: SealedTable,
    after: KeyMaterial | undefined,
    limit: number,
  ): Promise<readonly KeyMaterial[]>;
  /** Each is replaced where it still is what it was before. @returns how many were */
  replaceSealed(table: SealedTable, rows: readonly Rewrapped[]): Promise<number>;
  /**
   * From then on nothing can be sealed by it.
   * @returns false where a row still is, or the current generation is younger than so many seconds
   */
  retire(
    retired: { readonly number: number; readonly proof: Uint8Array },
    currentForSeconds: number,
    change: AuditedChange,
  ): Promise<boolean>;
  recordDestroyed(generation: number, change: AuditedChange): Promise<void>;
}

/** The pairs of backup keys, each of which is sealed as a key is that nobody can ask for. */
export interface BackupKeyStore {
  /** Oldest first. */
  list(): Promise<readonly KeyMaterial[]>;
  insert(material: VerifiedMaterial, change: AuditedChange): Promise<void>;
}
