import type { AuditedChange } from '../../audit/record.ts';
import { ServiceError } from '../../errors.ts';
import type { KeyMaterial } from '../../keys/key.ts';
import { requireSealed } from '../../keys/key-keeping.ts';
import type { WholeKey } from '../ports.ts';
import type { RewrapTarget } from '../root-keys/root-key-hsm.ts';
import type { ImportedRootKeys } from '../security-domain/ports.ts';
import type { ArchivedRow, ArchiveManifest, ArchivePlace } from './archive.ts';
import { type ArchiveOpener, type OpenedArchive, summarize } from './archive-opener.ts';
import { type FullBackupParts, KEYS_AT_ONCE } from './full-backup-parts.ts';
import { inOrder } from './in-order.ts';
import type { StagedPool, TakenPool } from './pool-store.ts';
import type { FullBackups, RestoreJob } from './ports.ts';
import { createThrottle } from './throttle.ts';

/** Rows that are set aside with one statement, and their characters. */
const BATCH = { rows: 500, characters: 1 << 20 };

type Parts = Omit<FullBackupParts, 'record' | 'isRotating'>;

export function createRestore(
  parts: Parts,
  opener: ArchiveOpener,
): Pick<FullBackups, 'restore' | 'restoreKey'> {
  const { hsm, store, pool } = parts;

  /** @throws ServiceError MalformedBackupBlob for a key that isn't what was backed up */
  async function rewrapped(
    material: KeyMaterial,
    target: RewrapTarget,
    { pair }: ArchiveManifest,
    toPool: string,
  ) {
    try {
      const identity = { ...material.identity, pool: toPool };
      return await hsm.rewrap(material, target, { pair, identity });
    } catch (error) {
      if (error instanceof ServiceError && error.code === 'KeyIntegrityViolation')
        throw new ServiceError(
          'MalformedBackupBlob',
          'A key in the backup does not match its seal: it has been altered, and nothing of the backup is used.',
          { cause: error },
        );
      throw error;
    }
  }

  /** @throws ServiceError Conflict */
  async function requireSameSchema({ schema }: ArchiveManifest): Promise<void> {
    const here = await store.readSchema();
    if (schema.digest !== here.digest)
      throw new ServiceError(
        'Conflict',
        `The backup was made with another schema of the database (its newest file is sql/${schema.newest}, and here it is sql/${here.newest}): restore it with the version of Strongroom that made it, and upgrade then.`,
      );
  }

  /** The other pool where the backup is of that one, undefined where it is of this one. @throws ServiceError Conflict */
  async function targetOf({ pool: of }: ArchiveManifest): Promise<ImportedRootKeys | undefined> {
    if (of.id === pool.id) return undefined;
    const other = await parts.findOtherPool();
    if (other?.poolId === of.id) {
      await parts.requireStartable(other);
      return other;
    }
    throw new ServiceError(
      'Conflict',
      `The backup is of the pool "${of.name}" (${of.id}), and this is another one: upload the security domain of that pool into a fresh pool, and restore it there.`,
    );
  }

  async function stage(
    staged: StagedPool,
    rows: AsyncIterable<ArchivedRow>,
    of: ArchiveManifest,
    target: ImportedRootKeys | undefined,
  ): Promise<void> {
    const breathe = createThrottle(parts.pauseShare);
    const to: RewrapTarget =
      target === undefined ? 'current' : { poolId: target.poolId, generation: target.generation };
    const adopted = inOrder(rows, KEYS_AT_ONCE, async (row) => {
      const sealed = store.openSealed(row);
      if (sealed === undefined) return row;
      const material = await rewrapped(sealed.material, to, of, of.pool.id);
      await breathe();
      return sealed.sealedAs(material);
    });
    let batch: ArchivedRow[] = [];
    let characters = 0;
    for await (const row of adopted) {
      // The pool's own audit log has gone on since.
      if (target === undefined && row.table.startsWith('audit_')) continue;
      batch.push(row);
      characters += row.json.length;
      if (batch.length < BATCH.rows && characters < BATCH.characters) continue;
      await staged.add(batch);
      batch = [];
      characters = 0;
    }
    await staged.add(batch);
  }

  async function replace(
    place: ArchivePlace,
    opened: OpenedArchive,
    options: Parameters<FullBackups['restore']>[2],
    job: RestoreJob,
    change: AuditedChange,
  ) {
    const { manifest } = opened;
    const target = await targetOf(manifest);
    const { folder, storage } = place;
    const summary = summarize(folder, manifest);
    const staged = await store.openStagedPool();
    try {
      await stage(staged, opener.rows(place, opened, options), manifest, target);
      change.note({
        change: {
          before: { poolId: pool.id, pool: pool.name },
          after: { ...summary, place: storage.place, backupKeys: manifest.pair },
        },
      });
      const taken = target && (await takenPool(staged, manifest, target));
      options.signal?.throwIfAborted();
      await job.closePool();
      const taking = { jobId: job.id, counts: summary, ...(taken && { target: taken }) };
      return await staged.takePlace(taking, change);
    } finally {
      await staged.close();
    }
  }

  /** What the other pool brings, with the end of its audit log. */
  async function takenPool(
    staged: StagedPool,
    { madeAt, withAuditRecords: hasRecords }: ArchiveManifest,
    { poolId, generation: rootGeneration, rootCheck, backupKeys }: ImportedRootKeys,
  ): Promise<TakenPool> {
    const log = await staged.readInheritedLog();
    const checkpoints = await parts.endInheritedLog(log, { poolId, madeAt, hasRecords });
    return { poolId, rootGeneration, rootCheck, backupKeys, checkpoints };
  }

  async function readKey(
    place: ArchivePlace,
    opened: OpenedArchive,
    name: Parameters<FullBackups['restoreKey']>[2],
    options: Parameters<FullBackups['restoreKey']>[3],
  ): Promise<WholeKey> {
    const picker = store.keyPicker(name);
    for await (const row of opener.rows(place, opened, options)) picker.take(row);
    const key = picker.key();
    if (key !== undefined) return key;
    throw new ServiceError('KeyNotFound', `The backup ${place.folder} has no key named ${name}.`);
  }

  return {
    async restore(storage, folder, options, job, change) {
      requireSealed(hsm, 'restore');
      const place = { storage, folder };
      const opened = await opener.open(place);
      try {
        await requireSameSchema(opened.manifest);
        const written = await replace(place, opened, options, job, change);
        await parts.onRestored(written);
        return summarize(folder, opened.manifest);
      } finally {
        opened.secret.fill(0);
      }
    },

    async restoreKey(storage, folder, name, options, change) {
      requireSealed(hsm, 'restore');
      const place = { storage, folder };
      const opened = await opener.open(place);
      const { manifest, secret } = opened;
      try {
        await requireSameSchema(manifest);
        const key = await readKey(place, opened, name, options);
        const versions: WholeKey['versions'][number][] = [];
        for (const { version, encryptions } of key.versions) {
          const material = await rewrapped(version.material, 'current', manifest, pool.id);
          versions.push({ version: { ...version, material }, encryptions });
        }
        const summary = summarize(folder, manifest);
        change.note({
          keyName: key.name,
          change: { after: { folder, place: storage.place, madeAt: summary.madeAt } },
        });
        await parts.keys.insertKey({ ...key, versions }, change);
        return summary;
      } finally {
        secret.fill(0);
      }
    },
  };
}
