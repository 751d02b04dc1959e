import type { AuditedChange } from '../../audit/record.ts';
import type { AuditChain, ChainHead, SignableHead } from '../../audit/chain.ts';
import type { Checkpoint } from '../../audit/checkpoint.ts';
import type { CertifiedKeyStore } from '../../pool/certified-keys.ts';
import type { KeyMaterial, KeyName } from '../../keys/key.ts';
import type { WholeKey } from '../ports.ts';
import type { ArchivedRow, SchemaMark } from './archive.ts';

/** A pool's rows as they were at one moment. */
export interface PoolSnapshot {
  readonly pool: { readonly id: string; readonly name: string };
  readonly schema: SchemaMark;
  /** The store's clock. */
  readonly takenAt: Date;
  readonly keys: number;
  /** Once, in pieces, in an order in which they can be inserted. */
  rows(options: { readonly withAuditRecords: boolean }): AsyncIterable<ArchivedRow>;
  close(): Promise<void>;
}

/** A row of a key that is sealed. */
export interface SealedRow {
  readonly material: KeyMaterial;
  /** The same row with the same key, wrapped and sealed otherwise. */
  sealedAs(material: KeyMaterial): ArchivedRow;
}

/** What a pool is to be made of: rows that are set aside, beside the pool and seen by nobody, until they take its place. */
export interface StagedPool {
  /** In the order in which they are to be inserted. */
  add(rows: readonly ArchivedRow[]): Promise<void>;
  /** What is among them of the audit log that they bring. */
  readInheritedLog(): Promise<InheritedLog>;
  /**
   * In one transaction the pool's rows become those that are set aside, with the record of the change and what it
   * witnesses, in chains of their own; the job has succeeded, and the pool is open again for processes that know it so.
   * @returns those chains, for somebody to sign
   * @throws ServiceError Conflict where the pool doesn't let itself be replaced, or the job was given up
   */
  takePlace(taking: Taking, change: AuditedChange): Promise<readonly WrittenChain[]>;
  close(): Promise<void>;
}

export interface Taking {
  /** Of the restore: under way until then. */
  readonly jobId: string;
  /** What the backup holds. */
  readonly counts: { readonly keys: number; readonly bytes: number };
  /** Absent for the pool itself. */
  readonly target?: TakenPool;
}

export interface WrittenChain {
  readonly poolId: string;
  readonly chain: AuditChain;
}

/** Another pool that takes the place of this one. */
export interface TakenPool {
  readonly poolId: string;
  readonly rootGeneration: number;
  readonly rootCheck: Uint8Array;
  /** Sealed by those root keys. */
  readonly backupKeys: readonly KeyMaterial[];
  /** That are added to those that it brings. */
  readonly checkpoints: readonly AddedCheckpoint[];
}

export interface AddedCheckpoint {
  readonly checkpoint: Checkpoint;
  /** Of which it speaks. */
  readonly heads: readonly SignableHead[];
  readonly isRetention: boolean;
}

/** The end of an audit log that somebody else goes on with. */
export interface InheritedLog {
  readonly newest: Checkpoint | undefined;
  /** How far each chain goes. */
  readonly heads: readonly ChainHead[];
  /** Those of them that are neither signed up to there nor ended. */
  readonly open: readonly ChainHead[];
  readonly certifiedKeys: Pick<CertifiedKeyStore, 'findCertifiedKey'>;
}

/** The store's side of full backups of a pool. */
export interface FullBackupStore {
  openSnapshot(): Promise<PoolSnapshot>;
  readSchema(): Promise<SchemaMark>;
  /** With no row yet. */
  openStagedPool(): Promise<StagedPool>;
  /** Undefined for rows that hold no sealed key. */
  openSealed(row: ArchivedRow): SealedRow | undefined;
  /** Picks the rows of one key out of all. */
  keyPicker(name: KeyName): KeyPicker;
}

export interface KeyPicker {
  /** Whether it is one of them. */
  take(row: ArchivedRow): boolean;
  /** What they come to; undefined where there were none. */
  key(): WholeKey | undefined;
}
