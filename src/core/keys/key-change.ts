import type { AuditedChange } from '../audit/record.ts';
import type { Clock } from '../clock.ts';
import { ServiceError } from '../errors.ts';
import type { KeyRelease } from '../release/key-release.ts';
import { changeReleasePolicy, type RequestedReleasePolicy } from '../release/release-policy.ts';
import type { Hsm, HsmFeatures } from './hsm.ts';
import type {
  KeyMaterial,
  KeyName,
  KeyVersion,
  KeyVersionId,
  VerifiedKey,
  VerifiedMaterial,
} from './key.ts';
import { keyNotFound } from './key-refusals.ts';
import { parseKeyOperations } from './key-spec.ts';
import {
  changeAttributes,
  exportableExchangeKey,
  type PoolRules,
  type RequestedAttributes,
} from './new-version.ts';
import type { KeyWriter } from './ports.ts';
import { parseTags, type Tags } from './tags.ts';

/** What is absent stays as it is. */
export interface UpdateKey {
  readonly operations?: readonly string[] | undefined;
  readonly attributes?: RequestedAttributes | undefined;
  readonly tags?: Tags | undefined;
  readonly releasePolicy?: RequestedReleasePolicy | undefined;
}

export interface ChangeParts {
  readonly hsm: Pick<Hsm, 'reseal'> & HsmFeatures & Pick<KeyRelease, 'requireIntact'>;
  readonly keys: Pick<KeyWriter, 'updateVersion'>;
  readonly pool: PoolRules;
  readonly clock: Clock;
}

/** How what is said of a version changes. */
export function createKeyChange({ hsm, keys, pool, clock }: ChangeParts) {
  const seconds = () => Math.floor(clock.now().getTime() / 1000);

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
  };
}

/** What the audit log keeps of a change: tags are callers' texts, and stay out. */
function outline({ attributes, material }: Pick<KeyVersion, 'attributes' | 'material'>) {
  const { enabled, notBefore, expires } = attributes;
  return { enabled, notBefore, expires, operations: material.identity.operations };
}
