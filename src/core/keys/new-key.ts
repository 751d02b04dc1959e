import type { AuditedChange } from '../audit/record.ts';
import { ServiceError } from '../errors.ts';
import {
  type ReleasePolicy,
  releasePolicyOf,
  type RequestedReleasePolicy,
} from '../release/release-policy.ts';
import type { Hsm, HsmFeatures } from './hsm.ts';
import type { KeyName, VerifiedKey } from './key.ts';
import { parseKeyOperations, parseKeySpec, requireMlDsa, type RequestedKey } from './key-spec.ts';
import type { PoolRules, RequestedAttributes, VersionMaker } from './new-version.ts';
import { parseTags, type Tags } from './tags.ts';

export interface CreateKey extends RequestedKey {
  readonly attributes?: RequestedAttributes | undefined;
  readonly tags?: Tags | undefined;
  readonly releasePolicy?: RequestedReleasePolicy | undefined;
}

export interface NewKeyParts {
  readonly hsm: Pick<Hsm, 'generateKey'> & HsmFeatures;
  readonly addVersion: VersionMaker;
  readonly pool: PoolRules;
}

/** How keys are made in the HSM. */
export function createKeyMaking({ hsm, addVersion, pool }: NewKeyParts) {
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
            releasePolicy: newReleasePolicy(request, hsm, pool),
          },
          (identity) => hsm.generateKey(identity, spec, change.principalId),
          change,
        ),
      );
    },
  };
}

/** @throws ServiceError BadParameter */
export function newReleasePolicy(
  { attributes, releasePolicy }: Pick<CreateKey, 'attributes' | 'releasePolicy'>,
  { keeping }: Pick<HsmFeatures, 'keeping'>,
  { releaseAuthorities }: Pick<PoolRules, 'releaseAuthorities'>,
): ReleasePolicy | undefined {
  const exportable = attributes?.exportable ?? false;
  if (keeping === 'resident' && (exportable || releasePolicy !== undefined))
    throw new ServiceError(
      'BadParameter',
      'A key of this pool cannot be exportable or have a release policy: its keys are objects of the HSM, and never leave it.',
    );
  return releasePolicyOf(exportable, releasePolicy, releaseAuthorities);
}

/** Only who names a version that must still be the newest is left without one. */
export function added(version: VerifiedKey | undefined): VerifiedKey {
  if (version === undefined) throw new TypeError('the version was not added');
  return version;
}
