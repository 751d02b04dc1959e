import { createHash } from 'node:crypto';
import { type ASYMMETRIC } from './jwt.ts';

/** Where a claim is: its name, or the names on the way to it. */
export type ClaimPath = readonly string[];

/** An OIDC issuer whose tokens are taken besides the directory's own, and how they name who holds them. */
export interface ExternalIssuer {
  /** `iss`, to the letter. */
  readonly issuer: string;
  /** Names it in principals and in the trail. */
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

/**
 * The object id of an external principal or group: a UUIDv8 (RFC 9562 §5.8, appendix B.2) of the first 16 bytes of
 * SHA-256 over `strongroom`, kind, issuer and claim, with a zero byte after each but the last.
 */
export function deriveObjectId(issuer: string, kind: 'principal' | 'group', claim: string): string {
  const bytes = createHash('sha256')
    .update(['strongroom', kind, issuer, claim].join('\0'))
    .digest()
    .subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
