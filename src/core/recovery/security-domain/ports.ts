import type { KeyObject } from 'node:crypto';
import type { AuditedChange } from '../../audit/record.ts';
import type { KeyMaterial } from '../../keys/key.ts';
import type { DomainEntry } from './domain-entries.ts';
import type { RestoreBlob } from './restore-blob.ts';
import type { RsaCertificate } from './rsa-certificate.ts';
import type { SecurityDomain } from './security-domain.ts';

/** Encryption into texts (compact JWE, RFC 7516) whose contents can't be altered unnoticed. */
export interface Envelopes {
  /** To whoever has the private half of an RSA key. */
  sealTo(publicKey: KeyObject, plaintext: Uint8Array): Promise<string>;
  /** Undefined for what isn't for this key, or was altered. */
  openWith(privateKey: KeyObject, envelope: string): Promise<Uint8Array | undefined>;
  /** The same with a private key that is elsewhere, in an HSM. */
  openBy(unwrap: UnwrapContentKey, envelope: string): Promise<Uint8Array | undefined>;
  /** @param key 64 bytes @param name which stands readable in the envelope's header */
  seal(key: Uint8Array, name: string, plaintext: Uint8Array): Promise<string>;
  /** Undefined for what wasn't made with this key, or was altered. */
  open(key: Uint8Array, envelope: string): Promise<Uint8Array | undefined>;
}

/** RSA-OAEP with SHA-256 (RFC 7518 §4.3). Undefined for what the private key doesn't open. */
export type UnwrapContentKey = (wrapped: Uint8Array) => Promise<Uint8Array | undefined>;

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
   * The root keys as another HSM takes them, in the one moment in which they may leave. A later download makes a new
   * generation, under which sealed keys are wrapped in the background: `progress` says how far that is.
   * @throws ServiceError HsmUnavailable, Conflict while a ceremony is under way
   */
  exportRootKeys(): Promise<{
    readonly generation: number;
    readonly entries: readonly DomainEntry[];
  }>;
  /** @throws ServiceError BadParameter for what isn't root keys, HsmUnavailable */
  importRootKeys(entries: readonly DomainEntry[]): Promise<{ readonly generation: number }>;
  progress(generation: number): Promise<CeremonyStatus>;
}

export type CeremonyStatus = 'InProgress' | 'Success' | 'Failed';

/** A download or an upload, as it is remembered. */
export interface Ceremony {
  readonly generation: number;
}

export interface TransferKey<Material extends KeyMaterial = KeyMaterial> {
  readonly material: Material;
  /** DER. */
  readonly certificate: Uint8Array;
  readonly expiresAt: Date;
}

export interface SecurityDomainStore {
  /** The newest. */
  findCeremony(kind: 'download' | 'upload'): Promise<Ceremony | undefined>;
  recordDownload(ceremony: Ceremony, change: AuditedChange): Promise<void>;
  /** The transfer key goes along with it: it is good for one upload. */
  recordUpload(ceremony: Ceremony, change: AuditedChange): Promise<void>;
  findTransferKey(): Promise<TransferKey | undefined>;
  /** In place of the one that there was. */
  putTransferKey(key: TransferKey, change: AuditedChange): Promise<void>;
}
