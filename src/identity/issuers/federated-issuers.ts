import { isIssuerUrl } from '../../core/directory/issuer-url.ts';
import { addressOf, isPublicAddress } from '../../network/addresses.ts';
import type { ExternalIssuer } from './external-issuer.ts';
import type { IssuerPlace } from './issuer-keys.ts';

/** Whom federated credentials may name: whoever may register one has the service ask that server for keys. */
export interface FederatedIssuers {
  /** False for an issuer that can be at no public address, unless the operator has named it. */
  isAccepted(issuer: string): boolean;
  /** Where its keys are. */
  placeOf(issuer: string): IssuerPlace;
}

/** Issuers that the operator has named, in either setting, may be anywhere; others are asked at public addresses alone. */
export function createFederatedIssuers(
  named: readonly string[],
  external: readonly ExternalIssuer[],
): FederatedIssuers {
  const places = new Map<string, IssuerPlace>([
    ...named.map((issuer) => [issuer, { issuer }] as const),
    ...external.map((one) => [one.issuer, one] as const),
  ]);
  return {
    isAccepted: (issuer) => places.has(issuer) || isPublicUrl(issuer),
    placeOf: (issuer) => places.get(issuer) ?? { issuer, isNamedByCaller: true },
  };
}

function isPublicUrl(issuer: string): boolean {
  if (!isIssuerUrl(issuer)) return false;
  const { protocol, hostname } = new URL(issuer);
  const address = addressOf(hostname);
  if (address !== undefined) return protocol === 'https:' && isPublicAddress(address);
  return protocol === 'https:' && !/(?:^|\.)localhost\.?$/.test(hostname);
}
