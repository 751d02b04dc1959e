import type { AuditedChange } from '../../audit/record.ts';
import type { KeyMaterial, VerifiedMaterial } from '../../keys/key.ts';
import type { Endorsement, Voucher } from '../root-keys/ports.ts';
import type { RestoreBlob } from './restore-blob.ts';
import type { RsaCertificate } from './rsa-certificate.ts';
import type { SecurityDomain } from './security-domain.ts';

/** The texts of Azure's clients. Those that read throw ServiceError BadParameter. */
export interface DomainTexts {
  formatDomain(domain: SecurityDomain): string;
  parseRestoreBlob(text: string): RestoreBlob;
  /** A JSON Web Key with its certificate. */
  readCertificate(jwk: unknown): RsaCertificate;
  formatCertificate(certificate: RsaCertificate): object;
}

/** What the HSM does in the two ceremonies. Root keys are wrapped inside it, and unwrapped there. */
export interface RootKeyCeremony {
  /**
   * Makes the root keys of the next generation and a new pair of backup keys, and wraps both, and the older pairs, for
   * another HSM: this is the one moment in which root keys may leave. Nothing is recorded, and nothing is sealed by them yet.
   * An earlier attempt that was not recorded is made anew.
   * @throws ServiceError HsmUnavailable, Conflict while an earlier rotation isn't over, NotImplemented for modules that can't
   */
  exportRootKeys(to: Custodians): Promise<ExportedRootKeys>;
  /** How far the rotation is that makes this generation the current one. */
  progress(generation: number): Promise<CeremonyStatus>;
  /**
   * Puts the root keys of a domain into the HSM, for good, and nothing is sealed by them yet. Those that are there already are taken.
   * @throws ServiceError BadParameter for what isn't root keys, Conflict for the pool's own, HsmUnavailable
   */
  importRootKeys(blob: BlobToOpen): Promise<ImportedRootKeys>;
}

/** Who opens a domain. */
export interface Custodians {
  readonly custodians: readonly RsaCertificate[];
  readonly required: number;
}

/** A restore blob, and what opens it. */
export interface BlobToOpen {
  readonly blob: RestoreBlob;
  /** Of the transfer key's certificate. */
  readonly thumbprint: string;
  /** Sealed by the pool's root keys. */
  readonly transferKey: KeyMaterial;
}

/**
 * The part of the ceremonies that has the contents of a domain in the clear: the one-time key with the root keys that it
 * wraps, the master and its shares. What goes in and what comes out is sealed or public.
 */
export interface ClearCeremony {
  /**
   * Makes root keys, and seals them with all pairs of backup keys to the custodians. Where it fails, nothing of them is left
   * in the HSM.
   * @throws ServiceError NotImplemented for modules that can't, HsmUnavailable
   */
  exportDomain(request: ExportRequest): Promise<SealedExport>;
  /**
   * Opens a restore blob for as long as `use` takes.
   * @throws ServiceError BadParameter for what isn't for this key, or holds no root keys
   */
  openBlob<T>(request: BlobToOpen, use: (opened: OpenedBlob) => Promise<T>): Promise<T>;
}

export interface ExportRequest extends Custodians {
  /** The new generation gets the next number of which the HSM holds nothing. */
  readonly after: number;
  /** Pairs of backup keys, sealed by the root keys of now: oldest first. */
  readonly olderPairs: readonly KeyMaterial[];
  readonly newPair: KeyMaterial;
  /** What older root keys say of each other: the domain has it with it, beside what they say of the new ones. */
  readonly vouchers: readonly Voucher[];
}

export interface SealedExport {
  readonly generation: number;
  /** 32 bytes that only these root keys give. */
  readonly rootCheck: Uint8Array;
  /** The new pair, sealed by the new root keys. */
  readonly backupKeys: VerifiedMaterial;
  readonly domain: SecurityDomain;
}

export interface OpenedBlob {
  /** The pool from which the domain was downloaded. */
  readonly poolId: string;
  readonly generation: number;
  /** @throws ServiceError BadParameter, Conflict, NotImplemented, HsmUnavailable */
  importRootKeys(): Promise<ImportedRootKeys>;
}

export interface ExportedRootKeys extends Omit<SealedExport, 'backupKeys'> {
  /** The generation that was current then. */
  readonly after: number;
  readonly endorsement: Endorsement;
  /** Root keys of an earlier download that haven't become the current ones, with a proof that they may be destroyed. */
  readonly supersedes?: { readonly number: number; readonly proof: Uint8Array };
  /** Absent for modules that wrap no HMAC keys. */
  readonly backupKeys?: VerifiedMaterial;
}

export interface ImportedRootKeys {
  /** The pool from which the domain was downloaded. */
  readonly poolId: string;
  readonly generation: number;
  readonly rootCheck: Uint8Array;
  /** All pairs that the domain holds, oldest first, sealed by its root keys for its pool. */
  readonly backupKeys: readonly KeyMaterial[];
}

interface UploadedDomain extends ImportedRootKeys {
  /** Absent in rows from before there were proofs. */
  readonly proof?: Uint8Array;
}

export type CeremonyStatus = 'InProgress' | 'Success' | 'Failed';

/** A download, as it is remembered. */
export interface DomainDownload {
  readonly generation: number;
  readonly madeAt: Date;
  readonly required: number;
  /** Thumbprints of their certificates: SHA-256 in base64url. */
  readonly custodians: readonly string[];
}

export interface TransferKey<Material extends KeyMaterial = KeyMaterial> {
  readonly material: Material;
  /** DER. */
  readonly certificate: Uint8Array;
  readonly expiresAt: Date;
}

/** One ceremony, backup or restore of a pool at a time, over all processes. @throws ServiceError Conflict */
export type Exclusively = <T>(work: () => Promise<T>) => Promise<T>;

export interface SecurityDomainStore {
  /** The newest. */
  findDownload(): Promise<DomainDownload | undefined>;
  /**
   * The exported root keys and the pair of backup keys are pending, in the place of those of an earlier download.
   * @throws ServiceError Conflict where another generation has become current meanwhile
   */
  recordDownload(
    exported: Omit<ExportedRootKeys, 'domain'>,
    download: Pick<DomainDownload, 'required' | 'custodians'>,
    change: AuditedChange,
  ): Promise<void>;
  /** As its rows have it: `findProvenUpload` says whether the service has written them. */
  findUpload(): Promise<UploadedDomain | undefined>;
  /** @throws ServiceError Conflict where the pool holds keys */
  requireNoKeys(): Promise<void>;
  /**
   * In the place of the one that there was. The transfer key is gone: it is good for one upload. The pool's own keys could
   * not be opened by that domain, so that it isn't what activates the pool.
   * @throws ServiceError Conflict where the pool holds keys
   */
  recordUpload(domain: UploadedDomain, change: AuditedChange): Promise<void>;
  findTransferKey(): Promise<TransferKey | undefined>;
  /**
   * In place of one that has expired.
   * @returns false where another process has put one there that hasn't
   */
  putTransferKey(key: TransferKey<VerifiedMaterial>, change: AuditedChange): Promise<boolean>;
}
