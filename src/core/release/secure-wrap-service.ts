import type { Admission } from './admission.ts';
import { ServiceError } from '../errors.ts';
import {
  type Done,
  type KeyReference,
  type Recorder,
  requireUsable,
} from '../operations/crypto-service.ts';
import type { HsmFeatures } from '../keys/hsm.ts';
import { requireSealed } from '../keys/key-keeping.ts';
import type { KeyMaterial, VerifiedKey } from '../keys/key.ts';
import { keyNotFound } from '../keys/key-refusals.ts';
import { fitsKey } from '../keys/key-shape.ts';
import type { Clock } from '../clock.ts';
import type { KeyReader } from '../keys/ports.ts';
import { findSecureWrap, type SecureWrapAlgorithm, type SecureWrapper } from './secure-wrap.ts';

export interface SecureUnwrapRequest {
  readonly algorithm: string;
  readonly wrapped: Uint8Array;
  /** An authority's statement about the environment that is to have the key. */
  readonly token: string;
  /** The one authority that the caller trusts to make it. */
  readonly issuer?: string | undefined;
}

export interface SecureWrapServiceParts {
  readonly hsm: SecureWrapper & Pick<HsmFeatures, 'keeping'>;
  readonly keys: Pick<KeyReader<VerifiedKey>, 'findKey'>;
  readonly admit: Admission;
  readonly clock: Clock;
}

export type SecureWrapService = ReturnType<typeof createSecureWrapService>;

/**
 * Data keys that are made in the HSM and opened for attested environments alone. Which those are the wrapping key's release
 * policy says, as of a release: without one nothing does. Every method: @throws ServiceError KeyNotFound, KeyDisabled,
 * KeyOperationForbidden, BadParameter, and what SecureWrapper throws.
 */
export function createSecureWrapService({ hsm, keys, admit, clock }: SecureWrapServiceParts) {
  async function keyFor(
    reference: KeyReference,
    operation: 'secureWrapKey' | 'secureUnwrapKey',
    algorithmName: string,
    note: Recorder,
  ): Promise<{ key: VerifiedKey; algorithm: SecureWrapAlgorithm }> {
    requireSealed(hsm, operation);
    note({ keyName: reference.name, algorithm: algorithmName });
    const key = await keys.findKey(reference.name, reference.version);
    if (key === undefined) throw keyNotFound(reference.name, reference.version);
    const { identity } = key.material;
    note({ keyName: identity.name, keyVersion: identity.version });
    requireUsable(key, operation, clock.now().getTime() / 1000);
    return { key, algorithm: fitting(key.material, operation, algorithmName) };
  }

  return {
    /** A fresh AES-256 key, wrapped. @throws ServiceError KeyNotYetValid, KeyExpired */
    async wrap(
      reference: KeyReference,
      algorithmName: string,
      note: Recorder,
    ): Promise<Done<Uint8Array>> {
      const { key, algorithm } = await keyFor(reference, 'secureWrapKey', algorithmName, note);
      const result = await hsm.wrapFreshKey(key.material, algorithm);
      return { key: key.material, algorithm, result };
    },

    /**
     * What `wrap` gave, wrapped for the attested environment.
     * @throws ServiceError AttestationRejected, AttestationAuthorityUnavailable, ReleasePolicyNotMet, DecryptionFailed
     */
    async unwrap(
      reference: KeyReference,
      request: SecureUnwrapRequest,
      note: Recorder,
    ): Promise<Done<Uint8Array>> {
      const { key, algorithm } = await keyFor(
        reference,
        'secureUnwrapKey',
        request.algorithm,
        note,
      );
      const { releasePolicy } = key.material.identity;
      if (releasePolicy === undefined)
        throw new ServiceError(
          'KeyOperationForbidden',
          'Operation secureUnwrapKey is not permitted on this key: it has no release policy, which says what environments are trusted.',
        );
      const { token, issuer } = request;
      const { recipient } = await admit({ policy: releasePolicy, token, issuer }, note);
      const result = await hsm.rewrapForRecipient(
        key.material,
        algorithm,
        request.wrapped,
        recipient,
      );
      return { key: key.material, algorithm, result };
    },
  };
}

function fitting({ spec }: KeyMaterial, operation: string, name: string): SecureWrapAlgorithm {
  const algorithm = findSecureWrap(name);
  if (algorithm === undefined)
    throw new ServiceError(
      'BadParameter',
      `Property alg has an invalid value: it is no algorithm of operation ${operation}.`,
    );
  if (!fitsKey(algorithm, spec))
    throw new ServiceError(
      'BadParameter',
      `Key and secure key wrap algorithm are incompatible: ${name} does not fit a key of type ${spec.keyType}.`,
    );
  return algorithm.name;
}
