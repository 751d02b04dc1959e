import type { Admission, AttestedEnvironment } from './admission.ts';
import { ServiceError } from '../errors.ts';
import { type KeyRelease, RELEASE_WRAPS, type ReleaseWrap } from './key-release.ts';
import type { HsmFeatures } from '../keys/hsm.ts';
import { requireSealed } from '../keys/key-keeping.ts';
import type { VerifiedKey } from '../keys/key.ts';
import type { KeyReference, Recorder } from '../operations/crypto-service.ts';
import { keyNotFound } from '../keys/key-refusals.ts';
import type { KeyReader } from '../keys/ports.ts';

export interface ReleaseRequest {
  readonly token: string;
  /** A name of RELEASE_WRAPS; CKM_RSA_AES_KEY_WRAP where absent. */
  readonly wrap?: string | undefined;
}

export interface Release {
  readonly key: VerifiedKey;
  readonly wrap: ReleaseWrap;
  readonly recipient: AttestedEnvironment['recipient'];
  /** The environment's RSA key encrypts a one-time key, that wraps the key. */
  readonly wrapped: Uint8Array;
}

export interface ReleaseServiceParts {
  readonly hsm: KeyRelease & Pick<HsmFeatures, 'keeping'>;
  readonly keys: Pick<KeyReader<VerifiedKey>, 'findKey'>;
  readonly admit: Admission;
}

export type ReleaseService = ReturnType<typeof createReleaseService>;

/** Secure key release: a key leaves the HSM, wrapped for an environment that its policy admits. */
export function createReleaseService({ hsm, keys, admit }: ReleaseServiceParts) {
  return {
    /**
     * @throws ServiceError KeyNotFound, KeyDisabled, KeyOperationForbidden, BadParameter, AttestationRejected,
     * AttestationAuthorityUnavailable, ReleasePolicyNotMet, and what KeyEgress throws
     */
    async release(
      reference: KeyReference,
      request: ReleaseRequest,
      note: Recorder,
    ): Promise<Release> {
      requireSealed(hsm, 'release');
      const wrap = parseWrap(request.wrap);
      note({ keyName: reference.name, algorithm: wrap });
      const key = await keys.findKey(reference.name, reference.version);
      if (key === undefined) throw keyNotFound(reference.name, reference.version);
      const { identity } = key.material;
      note({ keyName: identity.name, keyVersion: identity.version });
      if (!key.attributes.enabled)
        throw new ServiceError(
          'KeyDisabled',
          'Operation release is not allowed on a disabled key.',
        );
      const { exportable, releasePolicy } = identity;
      if (!exportable || releasePolicy === undefined)
        throw new ServiceError(
          'KeyOperationForbidden',
          'Operation release is not permitted on this key.',
        );
      // Before anything of the policy is believed, such as which servers to ask.
      await hsm.requireIntact(key.material);
      const { recipient } = await admit({ policy: releasePolicy, token: request.token }, note);
      const wrapped = await hsm.wrapForRelease(key.material, recipient, wrap);
      return { key, wrap, recipient, wrapped };
    },
  };
}

function parseWrap(name = 'CKM_RSA_AES_KEY_WRAP'): ReleaseWrap {
  if (Object.hasOwn(RELEASE_WRAPS, name)) return name as ReleaseWrap;
  throw new ServiceError(
    'BadParameter',
    `Property enc has an invalid value: it must be one of ${Object.keys(RELEASE_WRAPS).join(', ')}.`,
  );
}
