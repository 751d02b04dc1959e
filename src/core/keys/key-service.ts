import type { AuditedChange } from '../audit/record.ts';
import { ServiceError } from '../errors.ts';
import type { Hsm, HsmFeatures, KeyImporter } from './hsm.ts';
import type {
  DeletedKey,
  KeyMaterial,
  KeyName,
  KeyVersion,
  KeyVersionId,
  VerifiedKey,
  VerifiedMaterial,
} from './key.ts';
import type { KeyRelease } from '../release/key-release.ts';
import { type ImportedJwk, parseImportedKey } from './import/key-import.ts';
import {
  parseCurve,
  parseKeyOperations,
  parseKeySpec,
  parseKeyType,
  requireMlDsa,
  type RequestedKey,
} from './key-spec.ts';
import {
  changeAttributes,
  exportableExchangeKey,
  type PoolRules,
  type RequestedAttributes,
  type VersionMaker,
} from './new-version.ts';
import { wipe } from './import/plain-key.ts';
import type { Clock } from '../clock.ts';
import type { KeyReader, KeyWriter } from './ports.ts';
import type { Page, PageRequest } from '../paging.ts';
import {
  changeReleasePolicy,
  type ReleasePolicy,
  releasePolicyOf,
  type RequestedReleasePolicy,
} from '../release/release-policy.ts';
import { parseTags, type Tags } from './tags.ts';
import { parseTransferBlob } from './import/transfer-blob.ts';
import { verifyKey } from './verified-keys.ts';

const SECONDS_A_DAY = 86_400;

export interface CreateKey extends RequestedKey {
  readonly attributes?: RequestedAttributes | undefined;
  readonly tags?: Tags | undefined;
  readonly releasePolicy?: RequestedReleasePolicy | undefined;
}

/** A key from outside: in the clear, or wrapped by another HSM for a key exchange key of this pool. */
export interface ImportKey {
  readonly key:
    | ImportedJwk
    | {
        readonly kty: string;
        readonly crv?: string | undefined;
        readonly alg?: string | undefined;
        readonly transferBlob: Uint8Array;
      };
  readonly operations?: readonly string[] | undefined;
  readonly attributes?: RequestedAttributes | undefined;
  readonly tags?: Tags | undefined;
  readonly releasePolicy?: RequestedReleasePolicy | undefined;
}

/** What is absent stays as it is. */
export interface UpdateKey {
  readonly operations?: readonly string[] | undefined;
  readonly attributes?: RequestedAttributes | undefined;
  readonly tags?: Tags | undefined;
  readonly releasePolicy?: RequestedReleasePolicy | undefined;
}

export interface KeyServiceParts {
  readonly hsm: Hsm & HsmFeatures & KeyImporter & Pick<KeyRelease, 'requireIntact'>;
  readonly keys: KeyReader<VerifiedKey> & KeyWriter;
  readonly addVersion: VersionMaker;
  readonly pool: PoolRules;
  readonly clock: Clock;
}

export type KeyService = ReturnType<typeof createKeyService>;

/** The life of keys: everything but using them. Errors are ServiceErrors; who may is decided before. */
export function createKeyService({ hsm, keys, addVersion, pool, clock }: KeyServiceParts) {
  const seconds = () => Math.floor(clock.now().getTime() / 1000);

  async function exchangeKeyFor(name: KeyName, version: KeyVersionId): Promise<VerifiedKey> {
    const found = await keys.findKey(name, version);
    if (found === undefined) throw keyNotFound(name, version);
    if (!found.attributes.enabled)
      throw new ServiceError('KeyDisabled', 'Operation import is not allowed on a disabled key.');
    if (!found.material.identity.operations.includes('import'))
      throw new ServiceError(
        'KeyOperationForbidden',
        'Operation import is not permitted on this key.',
      );
    return found;
  }

  function newReleasePolicy({
    attributes,
    releasePolicy,
  }: Pick<CreateKey, 'attributes' | 'releasePolicy'>): ReleasePolicy | undefined {
    const exportable = attributes?.exportable ?? false;
    if (hsm.keeping === 'resident' && (exportable || releasePolicy !== undefined))
      throw new ServiceError(
        'BadParameter',
        'A key of this pool cannot be exportable or have a release policy: its keys are objects of the HSM, and never leave it.',
      );
    return releasePolicyOf(exportable, releasePolicy, pool.releaseAuthorities);
  }

  /** What the seal covers and PATCH can change. */
  async function resealed(material: KeyMaterial, request: UpdateKey): Promise<VerifiedMaterial> {
    const { identity, spec } = material;
    if (request.operations === undefined && request.releasePolicy === undefined)
      return hsm.requireIntact(material);
    const operations =
      request.operations === undefined
        ? identity.operations
        : parseKeyOperations(spec.keyType, request.operations);
    if (identity.exportable && operations.includes('import')) throw exportableExchangeKey();
    const becomes = operations.includes('import') !== identity.operations.includes('import');
    if (hsm.keeping === 'resident' && becomes)
      throw new ServiceError(
        'BadParameter',
        'Property key_ops has an invalid value: whether a key of this pool is a key exchange key (import) is fixed when its object is made in the HSM.',
      );
    const releasePolicy =
      request.releasePolicy &&
      changeReleasePolicy(identity.releasePolicy, request.releasePolicy, pool.releaseAuthorities);
    return hsm.reseal(material, {
      ...identity,
      operations,
      ...(releasePolicy !== undefined && { releasePolicy }),
    });
  }

  return {
    /** Makes a key, or a new version of one. @throws ServiceError BadParameter, KeyIsDeleted */
    async create(name: KeyName, request: CreateKey, change: AuditedChange): Promise<VerifiedKey> {
      requireMlDsa(request, hsm);
      const spec = parseKeySpec(request);
      return added(
        await addVersion(
          name,
          {
            origin: 'generated',
            operations: parseKeyOperations(spec.keyType, request.operations),
            attributes: request.attributes ?? {},
            tags: parseTags(request.tags ?? {}),
            releasePolicy: newReleasePolicy(request),
          },
          (identity) => hsm.generateKey(identity, spec, change.principalId),
          change,
        ),
      );
    },

    /**
     * Takes in a key from outside as a key, or as a new version of one.
     * @param requireMayImportBy asked before anything is said of the key exchange key that a transfer blob names: whether the
     * caller may import there too. Throws ServiceError AccessDenied
     * @throws ServiceError BadParameter, KeyIsDeleted; KeyNotFound, KeyDisabled and KeyOperationForbidden of the key exchange key
     */
    async import(
      name: KeyName,
      request: ImportKey,
      requireMayImportBy: (exchangeKey: KeyName) => Promise<void>,
      change: AuditedChange,
    ): Promise<VerifiedKey> {
      const { kty, alg } = request.key;
      // Of other keys a JWK may name any algorithm (RFC 7517 §4.4): it says nothing about what they are.
      requireMlDsa({ keyType: kty, algorithm: isMlDsa(alg) ? alg : undefined }, hsm);
      const keyType = parseKeyType(kty);
      const wanted = {
        origin: 'imported',
        operations: parseKeyOperations(keyType, request.operations),
        attributes: request.attributes ?? {},
        tags: parseTags(request.tags ?? {}),
        releasePolicy: newReleasePolicy(request),
      } as const;
      if ('transferBlob' in request.key) {
        const { crv, transferBlob } = request.key;
        if (keyType === 'AKP-HSM')
          throw new ServiceError(
            'BadParameter',
            'Property key.key_hsm has an invalid value: AKP-HSM keys are imported by their seed (key.priv), not by a transfer blob.',
          );
        const curve = parseCurve('key.crv', crv);
        const { exchangeKey, wrapped } = parseTransferBlob(transferBlob);
        await requireMayImportBy(exchangeKey.name);
        const exchange = await exchangeKeyFor(exchangeKey.name, exchangeKey.version);
        return added(
          await addVersion(
            name,
            wanted,
            (identity) =>
              hsm.importTransferred(identity, exchange.material, wrapped, {
                keyType,
                ...(curve !== undefined && { curve }),
              }),
            change,
          ),
        );
      }
      const plain = await parseImportedKey(request.key);
      try {
        return added(
          await addVersion(name, wanted, (identity) => hsm.importKey(identity, plain), change),
        );
      } finally {
        wipe(plain);
        for (const member of Object.values(request.key.members)) member.fill(0);
      }
    },

    /** @throws ServiceError KeyNotFound */
    async get(name: KeyName, version?: KeyVersionId): Promise<VerifiedKey> {
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
    ): Promise<VerifiedKey> {
      const tags = request.tags === undefined ? undefined : parseTags(request.tags);
      const requireFitting = ({ identity }: KeyMaterial) => {
        change.note({ keyName: identity.name, keyVersion: identity.version });
        if ((request.attributes?.exportable ?? false) && !identity.exportable)
          throw new ServiceError('BadParameter', 'Exportability is fixed when a key is created.');
      };
      const reseal = (material: KeyMaterial) => {
        requireFitting(material);
        return resealed(material, request);
      };
      const apply = (current: KeyVersion, material: VerifiedMaterial): VerifiedKey => {
        requireFitting(current.material);
        const made = {
          material,
          attributes: changeAttributes(
            { ...current.attributes, updated: seconds() },
            request.attributes ?? {},
          ),
          tags: tags ?? current.tags,
        };
        change.note({ change: { before: outline(current), after: outline(made) } });
        return made;
      };
      const updated = await keys.updateVersion(name, version, { reseal, apply }, change);
      if (updated === undefined) throw keyNotFound(name, version);
      return updated;
    },

    /** Soft-deletes a key with all its versions. @throws ServiceError KeyNotFound */
    async delete(name: KeyName, change: AuditedChange): Promise<DeletedKey<VerifiedKey>> {
      // What can't be answered must not be done: a record that was altered stays where it can be looked at.
      if ((await keys.findKey(name)) === undefined) throw keyNotFound(name);
      const deleted = await keys.deleteKey(name, pool.softDeleteDays * SECONDS_A_DAY, change);
      if (deleted === undefined) throw keyNotFound(name);
      return { ...deleted, current: await verifyKey(hsm, deleted.current) };
    },

    /** @throws ServiceError KeyNotFound */
    async getDeleted(name: KeyName): Promise<DeletedKey<VerifiedKey>> {
      const found = await keys.findDeletedKey(name);
      if (found === undefined) throw keyNotFound(name);
      return found;
    },

    listDeleted(page: PageRequest): Promise<Page<DeletedKey>> {
      return keys.listDeletedKeys(page);
    },

    /** @throws ServiceError KeyNotFound */
    async recover(name: KeyName, change: AuditedChange): Promise<VerifiedKey> {
      if ((await keys.findDeletedKey(name)) === undefined) throw keyNotFound(name);
      const recovered = await keys.recoverKey(name, change);
      if (recovered === undefined) throw keyNotFound(name);
      return verifyKey(hsm, recovered);
    },

    /** Removes a deleted key's material for good. @throws ServiceError KeyNotFound, PurgeProtected */
    async purge(name: KeyName, change: AuditedChange): Promise<void> {
      if (pool.purgeProtection) throw purgeProtected();
      if (!(await keys.purgeKey(name, change))) throw keyNotFound(name);
    },
  };
}

function isMlDsa(algorithm: string | undefined): boolean {
  return algorithm?.startsWith('ML-DSA') ?? false;
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

/** Only who names a version that must still be the newest is left without one. */
function added(version: VerifiedKey | undefined): VerifiedKey {
  if (version === undefined) throw new TypeError('the version was not added');
  return version;
}

/** What the audit log keeps of a change: tags are callers' texts, and stay out. */
function outline({ attributes, material }: Pick<KeyVersion, 'attributes' | 'material'>) {
  const { enabled, notBefore, expires } = attributes;
  return { enabled, notBefore, expires, operations: material.identity.operations };
}
