import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AuditedChange } from '../audit/record.ts';
import type { Recorder } from '../operations/crypto-service.ts';
import { ServiceError } from '../errors.ts';
import type { Hsm, HsmFeatures, RootSecrets } from '../keys/hsm.ts';
import type { KeyRelease } from '../release/key-release.ts';
import type {
  KeyMaterial,
  KeyName,
  KeyVersion,
  KeyVersionId,
  VerifiedKey,
  VerifiedMaterial,
} from '../keys/key.ts';
import { requireSealed } from '../keys/key-keeping.ts';
import { nearestDate } from '../keys/key-date.ts';
import { keyNotFound } from '../keys/key-refusals.ts';
import { changeAttributes } from '../keys/new-version.ts';
import type { BlobProtector, KeyArchive, WholeKey } from './ports.ts';
import type { KeyRewrapper } from './root-keys/root-key-hsm.ts';
import { verifyKey } from '../keys/verified-keys.ts';

export interface BackupServiceParts {
  readonly hsm: KeyRewrapper &
    Pick<Hsm, 'reseal'> &
    Pick<HsmFeatures, 'keeping'> &
    Pick<KeyRelease, 'requireIntact'> &
    RootSecrets;
  readonly archive: KeyArchive;
  readonly protector: BlobProtector;
  readonly poolId: string;
  /** The generations of root keys by which nothing else is needed to open blobs from before the pool had keys for them. */
  readonly generations: () => Promise<readonly number[]>;
  /** Has the HSM know the pairs of backup keys that the store has now. */
  readonly refreshPairs: () => Promise<void>;
}

export type BackupService = ReturnType<typeof createBackupService>;

/**
 * What a blob holds. By the first format its keys are as they were in the store: it opens as long as the root keys of then
 * are in the HSM. By the second they are wrapped by a pair of backup keys, which outlives root keys.
 */
const FORMATS = { ofRootKeys: 'strongroom key backup 1', outliving: 'strongroom key backup 2' };

/** A key with all its versions, attributes, tags and its rotation policy in one blob. Who may is decided before. */
export function createBackupService({
  hsm,
  archive,
  protector,
  poolId,
  generations,
  refreshPairs,
}: BackupServiceParts) {
  return {
    /**
     * A compact JWE (RFC 7516) in base64url; each key in it is wrapped in the HSM besides.
     * @throws ServiceError KeyNotFound, KeyIntegrityViolation, Overloaded, KeyOperationForbidden in a resident pool
     */
    async backup(name: KeyName, note: Recorder): Promise<string> {
      requireSealed(hsm, 'backup');
      const key = await archive.readKey(name);
      if (key === undefined) throw keyNotFound(name);
      note({ keyName: key.name });
      const pair = hsm.backupPairs.at(-1);
      const versions: WholeKey<VerifiedKey>['versions'][number][] = [];
      for (const entry of key.versions) {
        versions.push({ ...entry, version: await forBlob(entry.version, pair) });
        await nextTurn();
      }
      return protector.protect(await hsm.backupKey(pair), {
        format: pair === undefined ? FORMATS.ofRootKeys : FORMATS.outliving,
        key: { ...key, versions },
      });
    },

    /**
     * Puts a key back under its name, with the same versions.
     * @throws ServiceError MalformedBackupBlob for a blob of another security domain, or one that was altered;
     * KeyExists, KeyIsDeleted, Overloaded, KeyOperationForbidden in a resident pool
     */
    async restore(blob: Uint8Array, change: AuditedChange): Promise<VerifiedKey> {
      requireSealed(hsm, 'restore');
      const { contents, pair } = await open(blob);
      const { key } = contents;
      change.note({ keyName: key.name });
      const versions: WholeKey['versions'][number][] = [];
      for (const entry of key.versions) {
        versions.push({ ...entry, version: await adopted(entry.version, pair) });
        // The HSM may answer without waiting: others' requests come in between.
        await nextTurn();
      }
      return verifyKey(hsm, await archive.insertKey({ ...key, versions }, change));
    },
  };

  async function forBlob(
    version: KeyVersion,
    pair: KeyVersionId | undefined,
  ): Promise<VerifiedKey> {
    if (pair === undefined) return verifyKey(hsm, version);
    return { ...version, material: await hsm.rewrap(version.material, { pair }) };
  }

  /** What is in a blob, and the pair by which it was made: one that another process may have added a moment ago. */
  async function open(blob: Uint8Array) {
    const known = hsm.openablePairs.join();
    try {
      return await openByKnown(blob);
    } catch (error) {
      await refreshPairs();
      if (hsm.openablePairs.join() === known) throw error;
      return openByKnown(blob);
    }
  }

  async function openByKnown(blob: Uint8Array) {
    const { keys, lack } = await candidates();
    const opened = await protector.open(
      keys.map(({ key }) => key),
      blob,
    );
    const pair = opened && keys[opened.openedBy]?.pair;
    const format = pair === undefined ? FORMATS.ofRootKeys : FORMATS.outliving;
    if (opened?.contents.format === format) return { contents: opened.contents, pair };
    throw lack ?? malformed();
  }

  /** By which a blob may be encrypted, the newest first. A pair that the HSM doesn't open keeps no other from it. */
  async function candidates() {
    const keys: { readonly key: Uint8Array; readonly pair?: KeyVersionId }[] = [];
    let lack: ServiceError | undefined;
    for (const pair of hsm.openablePairs)
      try {
        keys.push({ key: await hsm.backupKey(pair), pair });
      } catch (error) {
        const isOwn = hsm.backupPairs.includes(pair);
        if (!(error instanceof ServiceError) || (isOwn && error.code !== 'BadParameter'))
          throw error;
        lack ??= error;
      }
    if (hsm.backupPairs.length === 0) keys.push({ key: await hsm.backupKey(undefined) });
    else for (const key of await hsm.earlierBackupKeys(await generations())) keys.push({ key });
    return { keys, lack };
  }

  /** Wrapped by the root keys of now. What another pool of the same keys sealed becomes this pool's. */
  async function adopted(version: KeyVersion, pair: KeyVersionId | undefined): Promise<KeyVersion> {
    const { material } = version;
    try {
      const { notBefore, expires } = version.attributes;
      return {
        ...version,
        attributes: changeAttributes(version.attributes, {
          notBefore: notBefore && nearestDate(notBefore),
          expires: expires && nearestDate(expires),
        }),
        material: await ownMaterial(material, pair),
      };
    } catch (error) {
      if (error instanceof ServiceError && error.code === 'KeyIntegrityViolation')
        throw malformed(error);
      throw error;
    }
  }

  async function ownMaterial(
    material: KeyMaterial,
    pair: KeyVersionId | undefined,
  ): Promise<VerifiedMaterial> {
    const identity = { ...material.identity, pool: poolId };
    try {
      return await hsm.rewrap(material, 'current', { pair, identity });
    } catch (error) {
      // Where nothing that was unwrapped can be wrapped again, what root keys have wrapped stays as it is.
      if (!(error instanceof ServiceError) || error.code !== 'BadParameter' || pair !== undefined)
        throw error;
      return hsm.reseal(material, identity);
    }
  }
}

function malformed(cause?: unknown): ServiceError {
  return new ServiceError(
    'MalformedBackupBlob',
    'Backup blob belongs to a different crypto domain and cannot be used with this instance.',
    { cause },
  );
}
