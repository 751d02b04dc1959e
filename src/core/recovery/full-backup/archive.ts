import type { KeyVersionId } from '../../keys/key.ts';
import type { BackupOrigin, BackupStorage } from './ports.ts';

/** A row of a table of the pool's. */
export interface ArchivedRow {
  readonly table: string;
  /** One line: the row as PostgreSQL writes it as JSON, times in UTC and bytes in hexadecimal. */
  readonly json: string;
}

/** By which it is told whether two databases have the same tables. */
export interface SchemaMark {
  /** The newest file of sql/ that was applied. */
  readonly newest: string;
  /** SHA-256 over the names and checksums of all of them, in hexadecimal. */
  readonly digest: string;
}

/** What an archive says of itself before its rows. */
export interface ArchiveHeader {
  readonly pool: { readonly id: string; readonly name: string };
  readonly madeAt: Date;
  /** The pair of backup keys under which it is. */
  readonly pair: KeyVersionId;
  readonly schema: SchemaMark;
  readonly withAuditRecords: boolean;
  /** Absent where a version made it that didn't say so. */
  readonly madeBy?: BackupOrigin;
}

export interface ArchiveManifest extends ArchiveHeader {
  /** 32 random bytes, base64url: no two archives have the same keys. */
  readonly id: string;
  /** Rows of each table. */
  readonly rows: Readonly<Record<string, number>>;
  readonly data: {
    readonly bytes: number;
    readonly chunks: number;
    /** SHA-256, in hexadecimal. */
    readonly sha256: string;
  };
}

/** A manifest as it was read. */
interface FoundManifest {
  /** Anybody can have written that. */
  readonly claimed: ArchiveManifest;
  /** @throws ServiceError MalformedBackupBlob where whoever has the secret has not written it so */
  verify(secret: Uint8Array): ArchiveManifest;
}

/** How an archive lies in a storage: see src/backup/full-backup/README.md. */
export interface ArchiveFormat {
  /**
   * @param secret 64 bytes that only the pair of backup keys gives
   * @param onBytes how many have been written
   */
  write(
    place: ArchivePlace,
    secret: Uint8Array,
    header: ArchiveHeader,
    rows: AsyncIterable<ArchivedRow>,
    onBytes?: (bytes: number) => void,
  ): Promise<ArchiveManifest>;
  /** @throws ServiceError MalformedBackupBlob for what is no manifest */
  readManifest(place: ArchivePlace): Promise<FoundManifest>;
  /**
   * Each row has been authenticated, and comes in its place. That nothing is missing is known at the end alone.
   * @throws ServiceError MalformedBackupBlob for what was cut, altered, reordered, or is another archive's
   */
  readRows(
    place: ArchivePlace,
    secret: Uint8Array,
    manifest: ArchiveManifest,
    onBytes?: (bytes: number) => void,
  ): AsyncIterable<ArchivedRow>;
}

export interface ArchivePlace {
  readonly storage: BackupStorage;
  readonly folder: string;
}
