import { ServiceError } from '../../errors.ts';
import type { KeyVersionId } from '../../keys/key.ts';
import { requireSealed } from '../../keys/key-keeping.ts';
import type { ArchiveManifest, ArchivePlace } from './archive.ts';
import { createArchiveOpener, summarize } from './archive-opener.ts';
import { inOrder } from './in-order.ts';
import type { PoolSnapshot } from './pool-store.ts';
import type { FullBackupOptions, FullBackups } from './ports.ts';
import { type FullBackupParts, KEYS_AT_ONCE } from './full-backup-parts.ts';
import { createRestore } from './restore.ts';
import { createThrottle } from './throttle.ts';

/** Full backups of a sealed pool: see src/backup/full-backup/README.md for how they lie in a storage. */
export function createFullBackups(parts: FullBackupParts): FullBackups {
  const { hsm, store, format, pool, clock } = parts;
  const opener = createArchiveOpener(parts);
  const restoring = createRestore(parts, opener);

  async function write(
    place: ArchivePlace,
    pair: KeyVersionId,
    options: FullBackupOptions,
  ): Promise<ArchiveManifest> {
    const secret = await hsm.archiveKey(pair);
    try {
      const snapshot = await store.openSnapshot();
      try {
        return await writeSnapshot(place, { pair, secret }, snapshot, options);
      } finally {
        await snapshot.close();
      }
    } finally {
      secret.fill(0);
    }
  }

  async function writeSnapshot(
    place: ArchivePlace,
    { pair, secret }: { readonly pair: KeyVersionId; readonly secret: Uint8Array },
    snapshot: PoolSnapshot,
    { withAuditRecords, madeBy, onProgress, signal }: FullBackupOptions,
  ): Promise<ArchiveManifest> {
    const { keys: ofKeys, schema, takenAt: madeAt } = snapshot;
    const breathe = createThrottle(parts.pauseShare);
    const progress = { keys: 0, ofKeys, bytes: 0 };
    let lastName: string | undefined;
    const rows = inOrder(snapshot.rows({ withAuditRecords }), KEYS_AT_ONCE, async (row) => {
      const sealed = store.openSealed(row);
      if (sealed === undefined) return row;
      signal?.throwIfAborted();
      const material = await hsm.rewrap(sealed.material, { pair });
      await breathe();
      const { name } = material.identity;
      if (row.table === 'key_version' && name !== lastName) {
        progress.keys += 1;
        lastName = name;
      }
      return sealed.sealedAs(material);
    });
    const header = {
      ...{ pool: snapshot.pool, madeAt, pair, schema, withAuditRecords },
      ...(madeBy !== undefined && { madeBy }),
    };
    return format.write(place, secret, header, rows, (bytes) => {
      signal?.throwIfAborted();
      progress.bytes = bytes;
      onProgress?.({ ...progress });
    });
  }

  return {
    newFolder: () => {
      const digits = clock.now().toISOString().replace(/\D/g, '');
      // Pools of one name may have one place, and backups of the same second.
      const suffix = Buffer.from(parts.newBytes(4)).toString('hex');
      return `mhsm-${pool.name}-${digits.slice(0, 14)}-${suffix}`;
    },

    async create(storage, folder, options, change) {
      requireSealed(hsm, 'backup');
      const pair = hsm.backupPairs.at(-1);
      if (pair === undefined)
        throw new ServiceError(
          'NotImplemented',
          'This HSM keeps no backup keys, under which a full backup would be: back it up by what it offers itself.',
        );
      if (await parts.isRotating())
        throw new ServiceError(
          'Conflict',
          'The keys of this pool are being wrapped by new root keys: a full backup can be made when that is over (`strongroom root-keys status`).',
        );
      const place = { storage, folder };
      // Not every storage that speaks S3 knows a write that may replace nothing.
      if ((await storage.listFolders(folder)).includes(folder))
        throw new ServiceError('Conflict', `There is a backup ${folder} already.`);
      await storage.claimFolder(folder);
      // From here on it is this backup's own, and is removed with it.
      try {
        const manifest = await write(place, pair, options);
        const { withAuditRecords, ...counts } = summarize(folder, manifest);
        change.note({
          change: {
            after: { ...counts, place: storage.place, backupKeys: pair, withAuditRecords },
          },
        });
        await parts.record(change);
        return { ...counts, withAuditRecords };
      } catch (error) {
        await storage.removeFolder(folder).catch(() => undefined);
        throw error;
      }
    },

    async verify(storage, folder, options = {}) {
      const place = { storage, folder };
      const opened = await opener.open(place);
      try {
        await opener.readAll(place, opened, options);
        return summarize(folder, opened.manifest);
      } finally {
        opened.secret.fill(0);
      }
    },

    ...restoring,
  };
}
