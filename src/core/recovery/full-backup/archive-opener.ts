import { ServiceError } from '../../errors.ts';
import type { RootSecrets } from '../../keys/hsm.ts';
import type { ArchivedRow, ArchiveFormat, ArchiveManifest, ArchivePlace } from './archive.ts';
import type { FullBackupOptions, BackupSummary } from './ports.ts';

/** An archive that the pool's backup keys have made. */
export interface OpenedArchive {
  readonly manifest: ArchiveManifest;
  /** 64 bytes, which whoever opens it overwrites. */
  readonly secret: Uint8Array;
}

type ReadOptions = Pick<FullBackupOptions, 'onProgress' | 'signal'>;

export type ArchiveOpener = ReturnType<typeof createArchiveOpener>;

export function createArchiveOpener({
  hsm,
  format,
}: {
  readonly hsm: RootSecrets;
  readonly format: ArchiveFormat;
}) {
  async function* rows(
    place: ArchivePlace,
    { manifest, secret }: OpenedArchive,
    { onProgress, signal }: ReadOptions,
  ): AsyncGenerator<ArchivedRow> {
    const { key: ofKeys = 0, key_version: ofVersions = 0 } = manifest.rows;
    const progress = { keys: 0, ofKeys, bytes: 0 };
    let versions = 0;
    const onBytes = (bytes: number) => {
      signal?.throwIfAborted();
      progress.bytes = bytes;
      onProgress?.({ ...progress });
    };
    for await (const row of format.readRows(place, secret, manifest, onBytes)) {
      if (row.table === 'key_version') versions += 1;
      progress.keys = ofVersions === 0 ? 0 : Math.floor((ofKeys * versions) / ofVersions);
      yield row;
    }
  }

  return {
    /** @throws ServiceError MalformedBackupBlob for one that was altered, or that is another domain's */
    async open(place: ArchivePlace): Promise<OpenedArchive> {
      const found = await format.readManifest(place);
      const { pair, pool } = found.claimed;
      if (!hsm.openablePairs.includes(pair))
        throw new ServiceError(
          'MalformedBackupBlob',
          `The backup ${place.folder} is of the pool "${pool.name}" (${pool.id}) and under backup keys that are not here (${pair}): it opens in that pool, or in a fresh one into which its security domain was uploaded.`,
        );
      const secret = await hsm.archiveKey(pair);
      try {
        return { manifest: found.verify(secret), secret };
      } catch (error) {
        secret.fill(0);
        throw error;
      }
    },

    /** All of them, and at the end it is sure that none is missing. */
    rows,

    /** The same, for who wants to know no more. */
    async readAll(place: ArchivePlace, opened: OpenedArchive, options: ReadOptions): Promise<void> {
      const reading = rows(place, opened, options);
      while ((await reading.next()).done !== true);
    },
  };
}

export function summarize(folder: string, manifest: ArchiveManifest): BackupSummary {
  const { pool, madeAt, rows, data, withAuditRecords, madeBy } = manifest;
  return {
    folder,
    poolId: pool.id,
    pool: pool.name,
    madeAt,
    keys: rows['key'] ?? 0,
    versions: rows['key_version'] ?? 0,
    bytes: data.bytes,
    withAuditRecords,
    ...(madeBy !== undefined && { madeBy }),
  };
}
