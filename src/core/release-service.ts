import { ServiceError } from './errors.ts';
import {
  type KeyEgress,
  type RecipientKey,
  RELEASE_WRAPS,
  type ReleaseWrap,
} from './key-egress.ts';
import { type VerifiedKey } from './key.ts';
import { type KeyReference, type Noter } from './crypto-service.ts';
import { keyNotFound } from './key-service.ts';
import { type KeyReader } from './ports.ts';
import { authoritiesOf, isReleaseAllowed, isSameAuthority } from './release-policy.ts';

/** What an authority says of an environment. */
export interface AttestedEnvironment {
  /** The token's issuer, one of the authorities that were asked for. */
  readonly authority: string;
  /** Of the token, as JSON has them. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** The environment's own key, to which a key is released. */
  readonly recipient: RecipientKey & { readonly keyId?: string };
}

export interface AttestationVerifier {
  /**
   * Checks an attestation token with the keys of its authority.
   * @param authorities that may have issued it
   * @throws ServiceError AttestationRejected, AttestationAuthorityUnavailable
   */
  verify(token: string, authorities: readonly string[]): Promise<AttestedEnvironment>;
}

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
  readonly hsm: KeyEgress;
  readonly keys: Pick<KeyReader<VerifiedKey>, 'findKey'>;
  readonly attestation: AttestationVerifier;
  /** The authorities that this pool trusts; any that a policy names where absent. */
  readonly authorities?: readonly string[];
}

export type ReleaseService = ReturnType<typeof createReleaseService>;

/** Secure key release: a key leaves the HSM, wrapped for an environment that its policy admits. */
export function createReleaseService(parts: ReleaseServiceParts) {
  const { hsm, keys, attestation, authorities } = parts;

  function isTrusted(authority: string): boolean {
    return authorities?.some((trusted) => isSameAuthority(trusted, authority)) ?? true;
  }

  return {
    /**
     * @throws ServiceError KeyNotFound, KeyDisabled, KeyOperationForbidden, BadParameter, AttestationRejected,
     * AttestationAuthorityUnavailable, ReleasePolicyNotMet, and what KeyEgress throws
     */
    async release(reference: KeyReference, request: ReleaseRequest, note: Noter): Promise<Release> {
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
      const trusted = authoritiesOf(releasePolicy).filter(isTrusted);
      const environment = await attestation.verify(request.token, trusted);
      const { authority, claims, recipient } = environment;
      note({
        change: {
          after: {
            environment: {
              authority,
              ...(recipient.keyId !== undefined && { keyId: printable(recipient.keyId) }),
            },
          },
        },
      });
      if (!isReleaseAllowed(releasePolicy, authority, claims))
        throw new ServiceError(
          'ReleasePolicyNotMet',
          'The target environment does not meet the release policy of this key.',
        );
      const wrapped = await hsm.wrapForRelease(key.material, recipient, wrap);
      return { key, wrap, recipient, wrapped };
    },
  };
}

/** Fit for the trail: the authority's server chose it. */
function printable(keyId: string): string {
  return keyId.slice(0, 128).replace(/[^\x20-\x7e]/g, '?');
}

function parseWrap(name = 'CKM_RSA_AES_KEY_WRAP'): ReleaseWrap {
  if (Object.hasOwn(RELEASE_WRAPS, name)) return name as ReleaseWrap;
  throw new ServiceError(
    'BadParameter',
    `Property enc has an invalid value: it must be one of ${Object.keys(RELEASE_WRAPS).join(', ')}.`,
  );
}
