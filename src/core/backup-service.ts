import { type AuditedChange } from './audit.ts';
import { ServiceError } from './errors.ts';
import { type Hsm, type RootSecrets } from './hsm.ts';
import { type KeyName, type KeyVersion } from './key.ts';
import { keyNotFound } from './key-service.ts';
import { type BlobProtector, type KeyArchive, type WholeKey } from './ports.ts';

export interface BackupServiceParts {
  readonly hsm: Pick<Hsm, 'reseal'> & RootSecrets;
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
     * A compact JWE (RFC 7516) in ASCII; what is in it is wrapped by the root keys besides.
     * @throws ServiceError KeyNotFound
     */
    async backup(name: KeyName): Promise<Uint8Array> {
      const key = await archive.readKey(name);
      if (key === undefined) throw keyNotFound(name);
      const content = Buffer.from(encode({ format: FORMAT, key }));
      return Buffer.from(await protector.protect(await hsm.backupKey(), content), 'ascii');
    },

    /**
     * Puts a key back under its name, with the same versions.
     * @throws ServiceError MalformedBackupBlob for a blob of another security domain, or one that was altered;
     * KeyExists, KeyIsDeleted
     */
    async restore(blob: Uint8Array, change: AuditedChange): Promise<KeyVersion> {
      const content = await protector.open(
        await hsm.backupKey(),
        Buffer.from(blob).toString('latin1'),
      );
      if (content === undefined) throw malformed();
      const { format, key } = decode(Buffer.from(content).toString()) as Contents;
      if (format !== FORMAT) throw malformed();
      change.note({ keyName: key.name });
      const versions: WholeKey['versions'][number][] = [];
      for (const entry of key.versions)
        versions.push({ ...entry, version: await adopted(entry.version) });
      return archive.insertKey({ ...key, versions }, change);
    },
  };

  /** What another pool of the same root keys sealed becomes this pool's; what this one sealed is looked at again. */
  async function adopted(version: KeyVersion): Promise<KeyVersion> {
    const { material } = version;
    try {
      return {
        ...version,
        material: await hsm.reseal(material, { ...material.identity, pool: poolId }),
      };
    } catch (error) {
      if (error instanceof ServiceError && error.code === 'KeyIntegrityViolation')
        throw malformed(error);
      throw error;
    }
  }
}

interface Contents {
  readonly format: unknown;
  readonly key: WholeKey;
}

const BYTES = '$bytes';

/** JSON, with byte strings as {"$bytes": base64url}. */
function encode(value: Contents): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, name, converted: unknown) {
    // Buffers have been through their own toJSON by now; what they were is still in the object that holds them.
    const held = this[name];
    return held instanceof Uint8Array
      ? { [BYTES]: Buffer.from(held).toString('base64url') }
      : converted;
  });
}

function decode(text: string): unknown {
  return JSON.parse(text, (_name, value: unknown) =>
    typeof value === 'object' &&
    value !== null &&
    BYTES in value &&
    typeof value[BYTES] === 'string'
      ? Buffer.from(value[BYTES], 'base64url')
      : value,
  );
}

function malformed(cause?: unknown): ServiceError {
  return new ServiceError(
    'MalformedBackupBlob',
    'Backup blob belongs to a different crypto domain and cannot be used with this instance.',
    { cause },
  );
}
