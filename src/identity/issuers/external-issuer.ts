import type { ASYMMETRIC } from '../tokens/jwt.ts';

export { deriveObjectId } from '../../core/directory/external-object-id.ts';

/** Where a claim is: its name, or the names on the way to it. */
export type ClaimPath = readonly string[];

/** An OIDC issuer whose tokens are taken besides the directory's own, and how they name who holds them. */
export interface ExternalIssuer {
  /** `iss`, to the letter. */
  readonly issuer: string;
  /** Names it in principals and in the audit log. */
  readonly tenantId: string;
  /** `aud` has to hold one of these. */
  readonly audiences: readonly string[];
  /** Absent: where its discovery document says. */
  readonly jwksUri?: string;
  readonly algorithms: readonly (typeof ASYMMETRIC)[number][];
  readonly claims: {
    readonly principal: ClaimPath;
    readonly application: ClaimPath;
    readonly displayName: ClaimPath;
    readonly groups?: ClaimPath;
    /** Must be the tenant, where it is looked at. */
    readonly tenant?: ClaimPath;
  };
  /**
   * What role assignments name: `claim`, the claim's own GUID (Entra ID's `oid`), or `derived`, a UUID made of issuer and
   * claim, so that no issuer can speak for another's principals.
   */
  readonly objectIds: 'claim' | 'derived';
}
