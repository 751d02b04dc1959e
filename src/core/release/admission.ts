import { ServiceError } from '../errors.ts';
import type { Recorder } from '../operations/crypto-service.ts';
import type { RecipientKey } from './key-release.ts';
import {
  authoritiesOf,
  isReleaseAllowed,
  isSameAuthority,
  type ReleasePolicy,
} from './release-policy.ts';

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

export interface AdmissionParts {
  readonly attestation: AttestationVerifier;
  /** The authorities that this pool trusts; none where absent. */
  readonly authorities?: readonly string[];
}

export interface AdmissionRequest {
  readonly policy: ReleasePolicy;
  readonly token: string;
  /** The one authority that the caller trusts, where it says so. */
  readonly issuer?: string | undefined;
}

export type Admission = ReturnType<typeof createAdmission>;

/** Which environments a key's release policy lets have it. The policy's seal has been verified. */
export function createAdmission({ attestation, authorities }: AdmissionParts) {
  function isTrusted(authority: string): boolean {
    return authorities?.some((trusted) => isSameAuthority(trusted, authority)) === true;
  }

  /** @throws ServiceError AttestationRejected, AttestationAuthorityUnavailable, ReleasePolicyNotMet */
  return async function admit(
    { policy, token, issuer }: AdmissionRequest,
    note: Recorder,
  ): Promise<AttestedEnvironment> {
    // Whoever may release a key may also write its policy: no server is asked that the operator hasn't named.
    if (authorities === undefined)
      throw new ServiceError(
        'AttestationRejected',
        'No attestation authority is trusted here: STRONGROOM_ATTESTATION_AUTHORITIES names none.',
      );
    const trusted = authoritiesOf(policy).filter(
      (authority) =>
        isTrusted(authority) && (issuer === undefined || isSameAuthority(issuer, authority)),
    );
    if (issuer !== undefined && trusted.length === 0)
      throw new ServiceError(
        'AttestationRejected',
        'The applicationTrustedIssuer is no authority that the release policy of this key and this pool trust.',
      );
    const environment = await attestation.verify(token, trusted);
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
    if (!isReleaseAllowed(policy, authority, claims))
      throw new ServiceError(
        'ReleasePolicyNotMet',
        'The target environment does not meet the release policy of this key.',
      );
    return environment;
  };
}

/** Fit for the audit log: the authority's server chose it. */
function printable(keyId: string): string {
  return keyId.slice(0, 128).replace(/[^\x20-\x7e]/g, '?');
}
