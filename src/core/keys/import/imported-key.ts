import type { AuditedChange } from '../../audit/record.ts';
import { ServiceError } from '../../errors.ts';
import type { RequestedReleasePolicy } from '../../release/release-policy.ts';
import type { HsmFeatures, KeyImporter } from '../hsm.ts';
import type { KeyName, KeyVersionId, VerifiedKey } from '../key.ts';
import { keyNotFound } from '../key-refusals.ts';
import { parseCurve, parseKeyOperations, parseKeyType, requireMlDsa } from '../key-spec.ts';
import { added, newReleasePolicy } from '../new-key.ts';
import type { PoolRules, RequestedAttributes, VersionMaker } from '../new-version.ts';
import type { KeyReader } from '../ports.ts';
import { parseTags, type Tags } from '../tags.ts';
import { type ImportedJwk, parseImportedKey } from './key-import.ts';
import { wipe } from './plain-key.ts';
import { parseTransferBlob } from './transfer-blob.ts';

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

export interface ImportParts {
  readonly hsm: HsmFeatures & KeyImporter;
  readonly keys: Pick<KeyReader<VerifiedKey>, 'findKey'>;
  readonly addVersion: VersionMaker;
  readonly pool: PoolRules;
}

/** How keys come in from outside. */
export function createKeyIntake({ hsm, keys, addVersion, pool }: ImportParts) {
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

  return {
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
        releasePolicy: newReleasePolicy(request, hsm, pool),
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
  };
}

function isMlDsa(algorithm: string | undefined): boolean {
  return algorithm?.startsWith('ML-DSA') ?? false;
}
