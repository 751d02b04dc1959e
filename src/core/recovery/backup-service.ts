import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AuditedChange } from '../audit/record.ts';
import type { Recorder } from '../operations/crypto-service.ts';
import { ServiceError } from '../errors.ts';
import type { Hsm, HsmFeatures, RootSecrets } from '../keys/hsm.ts';
import type { KeyRelease } from '../release/key-release.ts';
import type { KeyName, KeyVersion, VerifiedKey } from '../keys/key.ts';
import { requireSealed } from '../keys/key-keeping.ts';
import { nearestDate } from '../keys/key-date.ts';
import { keyNotFound } from '../keys/key-service.ts';
import { changeAttributes } from '../keys/new-version.ts';
import type { BlobProtector, KeyArchive, WholeKey } from './ports.ts';
import { verifyKey } from '../keys/verified-keys.ts';

export interface BackupServiceParts {
  readonly hsm: Pick<Hsm, 'reseal'> &
    Pick<HsmFeatures, 'keeping'> &
    Pick<KeyRelease, 'requireIntact'> &
    RootSecrets;
  readonly archive: KeyArchive;
  readonly protector: BlobProtector;
  readonly poolId: string;
}

export type BackupService = ReturnType<typeof createBackupService>;

const FORMAT = 'strongroom key backup 1';

/** A key with all its versions, attributes, tags and its rotation policy in one blob. Who may is decided before. */
export function createBackupService({ hsm, archive, protector, poolId }: BackupServiceParts) {
  return {
    /**
     * A compact JWE (RFC 7516) in base64url; what is in it is wrapped by the root keys besides.
     * @throws ServiceError KeyNotFound, KeyIntegrityViolation, Overloaded, KeyOperationForbidden in a resident pool
     */
    async backup(name: KeyName, note: Recorder): Promise<string> {
      requireSealed(hsm, 'backup');
      const key = await archive.readKey(name);
      if (key === undefined) throw keyNotFound(name);
      note({ keyName: key.name });
      const versions: WholeKey<VerifiedKey>['versions'][number][] = [];
      for (const entry of key.versions) {
        versions.push({ ...entry, version: await verifyKey(hsm, entry.version) });
        await nextTurn();
      }
      return protector.protect(await hsm.backupKey(), {
        format: FORMAT,
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
      const contents = await protector.open(await hsm.backupKey(), blob);
      if (contents?.format !== FORMAT) throw malformed();
      const { key } = contents;
      change.note({ keyName: key.name });
      const versions: WholeKey['versions'][number][] = [];
      for (const entry of key.versions) {
        versions.push({ ...entry, version: await adopted(entry.version) });
        // The HSM may answer without waiting: others' requests come in between.
        await nextTurn();
      }
      return verifyKey(hsm, await archive.insertKey({ ...key, versions }, change));
    },
  };

  /** What another pool of the same root keys sealed becomes this pool's; what this one sealed is looked at again. */
  async function adopted(version: KeyVersion): Promise<KeyVersion> {
    const { material } = version;
    try {
      const { notBefore, expires } = version.attributes;
      return {
        ...version,
        attributes: changeAttributes(version.attributes, {
          notBefore: notBefore && nearestDate(notBefore),
          expires: expires && nearestDate(expires),
        }),
        material: await hsm.reseal(material, { ...material.identity, pool: poolId }),
      };
    } catch (error) {
      if (error instanceof ServiceError && error.code === 'KeyIntegrityViolation')
        throw malformed(error);
      throw error;
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
