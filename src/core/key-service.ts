import { type AuditedChange } from './audit.ts';
import { ServiceError } from './errors.ts';
import { type Hsm } from './hsm.ts';
import {
  type DeletedKey,
  type KeyAttributes,
  type KeyName,
  type KeyVersion,
  type KeyVersionId,
} from './key.ts';
import { parseKeyOperations, parseKeySpec, type RequestedKey } from './key-spec.ts';
import {
  type Clock,
  type KeyReader,
  type KeyWriter,
  type Page,
  type PageRequest,
} from './ports.ts';

const SECONDS_A_DAY = 86_400;
const TAGS_LIMIT = 15;
const TAG_LENGTH_LIMIT = 256;
/** What JSON can say and Postgres' jsonb can't hold. */
const UNSTORABLE = /\0|\p{Cs}/u;

/** Seconds since 1970-01-01 UTC. */
interface RequestedAttributes {
  readonly enabled?: boolean | undefined;
  readonly notBefore?: number | undefined;
  readonly expires?: number | undefined;
  readonly exportable?: boolean | undefined;
}

export interface CreateKey extends RequestedKey {
  readonly attributes?: RequestedAttributes | undefined;
  readonly tags?: Readonly<Record<string, string>> | undefined;
}

/** What is absent stays as it is. */
export interface UpdateKey {
  readonly operations?: readonly string[] | undefined;
  readonly attributes?: RequestedAttributes | undefined;
  readonly tags?: Readonly<Record<string, string>> | undefined;
}

/** What a pool has decided once for all its keys. */
export interface PoolRules {
  readonly poolId: string;
  /** Days from deletion to the automatic purge, 7 to 90. */
  readonly softDeleteDays: number;
  readonly purgeProtection: boolean;
}

export interface KeyServiceParts {
  readonly hsm: Hsm;
  readonly keys: KeyReader & KeyWriter;
  readonly pool: PoolRules;
  readonly clock: Clock;
  readonly newVersionId: () => KeyVersionId;
}

export type KeyService = ReturnType<typeof createKeyService>;

/** The life of keys: everything but using them. Errors are ServiceErrors; who may is decided before. */
export function createKeyService({ hsm, keys, pool, clock, newVersionId }: KeyServiceParts) {
  const seconds = () => Math.floor(clock.now().getTime() / 1000);

  return {
    /** Makes a key, or a new version of one. @throws ServiceError BadParameter, KeyIsDeleted */
    async create(name: KeyName, request: CreateKey, change: AuditedChange): Promise<KeyVersion> {
      const spec = parseKeySpec(request);
      const operations = parseKeyOperations(spec.keyType, request.operations);
      const tags = parseTags(request.tags ?? {});
      if (request.attributes?.exportable === true)
        throw new ServiceError('BadParameter', 'Exportable keys must have release policy');
      // Asked before the HSM makes a key, so that a refused name costs nothing; the store decides again when it writes.
      if ((await keys.findDeletedKey(name)) !== undefined) throw keyIsDeleted(name);
      const version = newVersionId();
      change.note({ keyName: name, keyVersion: version });
      const material = await hsm.generateKey(
        { pool: pool.poolId, name, version, operations, exportable: false },
        spec,
      );
      const now = seconds();
      const made: KeyVersion = {
        material,
        attributes: changeAttributes(
          { enabled: true, created: now, updated: now },
          request.attributes ?? {},
        ),
        tags,
      };
      await keys.insertVersion(made, change);
      return made;
    },

    /** @throws ServiceError KeyNotFound */
    async get(name: KeyName, version?: KeyVersionId): Promise<KeyVersion> {
      const found = await keys.findKey(name, version);
      if (found === undefined) throw keyNotFound(name, version);
      return found;
    },

    list(page: PageRequest): Promise<Page<KeyVersion>> {
      return keys.listKeys(page);
    },

    listVersions(name: KeyName, page: PageRequest): Promise<Page<KeyVersion>> {
      return keys.listVersions(name, page);
    },

    /** Without a version: the newest. @throws ServiceError BadParameter, KeyNotFound */
    async update(
      name: KeyName,
      version: KeyVersionId | undefined,
      request: UpdateKey,
      change: AuditedChange,
    ): Promise<KeyVersion> {
      const tags = request.tags === undefined ? undefined : parseTags(request.tags);
      const updated = await keys.updateVersion(
        name,
        version,
        async (current) => {
          const { material } = current;
          change.note({ keyName: name, keyVersion: material.identity.version });
          if ((request.attributes?.exportable ?? false) && !material.identity.exportable)
            throw new ServiceError('BadParameter', 'Exportability is fixed when a key is created.');
          const operations =
            request.operations === undefined
              ? undefined
              : parseKeyOperations(material.spec.keyType, request.operations);
          return {
            material: operations === undefined ? material : await hsm.reseal(material, operations),
            attributes: changeAttributes(
              { ...current.attributes, updated: seconds() },
              request.attributes ?? {},
            ),
            tags: tags ?? current.tags,
          };
        },
        change,
      );
      if (updated === undefined) throw keyNotFound(name, version);
      return updated;
    },

    /** Soft-deletes a key with all its versions. @throws ServiceError KeyNotFound */
    async delete(name: KeyName, change: AuditedChange): Promise<DeletedKey> {
      const deletedAt = seconds();
      const purgeAt = deletedAt + pool.softDeleteDays * SECONDS_A_DAY;
      const deleted = await keys.deleteKey(name, { deletedAt, purgeAt }, change);
      if (deleted === undefined) throw keyNotFound(name);
      return deleted;
    },

    /** @throws ServiceError KeyNotFound */
    async getDeleted(name: KeyName): Promise<DeletedKey> {
      const found = await keys.findDeletedKey(name);
      if (found === undefined) throw keyNotFound(name);
      return found;
    },

    listDeleted(page: PageRequest): Promise<Page<DeletedKey>> {
      return keys.listDeletedKeys(page);
    },

    /** @throws ServiceError KeyNotFound */
    async recover(name: KeyName, change: AuditedChange): Promise<KeyVersion> {
      const recovered = await keys.recoverKey(name, change);
      if (recovered === undefined) throw keyNotFound(name);
      return recovered;
    },

    /** Removes a deleted key's material for good. @throws ServiceError KeyNotFound, PurgeProtected */
    async purge(name: KeyName, change: AuditedChange): Promise<void> {
      if (pool.purgeProtection) throw purgeProtected();
      if (!(await keys.purgeKey(name, change))) throw keyNotFound(name);
    },
  };
}

/** The text that existing clients look for when they decide whether to create a key. */
export function keyNotFound(name: KeyName, version?: KeyVersionId): ServiceError {
  const id = version === undefined ? name : `${name}/${version}`;
  return new ServiceError(
    'KeyNotFound',
    `Key not found: A key with (name/id) ${id} was not found in this key vault.`,
  );
}

export function purgeProtected(): ServiceError {
  return new ServiceError(
    'PurgeProtected',
    'Operation "purge" is not allowed because purge protection is enabled for this pool.',
  );
}

export function keyIsDeleted(name: KeyName): ServiceError {
  return new ServiceError(
    'KeyIsDeleted',
    `Key ${name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the key can only be recovered or purged.`,
  );
}

function changeAttributes(current: KeyAttributes, request: RequestedAttributes): KeyAttributes {
  const { enabled, notBefore, expires } = request;
  return {
    ...current,
    ...(enabled !== undefined && { enabled }),
    ...(notBefore !== undefined && { notBefore }),
    ...(expires !== undefined && { expires }),
  };
}

function parseTags(tags: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const entries = Object.entries(tags);
  if (entries.length > TAGS_LIMIT)
    throw new ServiceError('BadParameter', `A key can have at most ${TAGS_LIMIT} tags.`);
  if (entries.some(([tag, value]) => Math.max(tag.length, value.length) > TAG_LENGTH_LIMIT))
    throw new ServiceError(
      'BadParameter',
      `The name and the value of a tag can have at most ${TAG_LENGTH_LIMIT} characters.`,
    );
  if (entries.some(([tag, value]) => UNSTORABLE.test(`${tag}${value}`)))
    throw new ServiceError('BadParameter', 'Tags cannot hold U+0000 or unpaired surrogates.');
  return tags;
}
