import {
  decodeJwt,
  decodeProtectedHeader,
  type JWTPayload,
  type ProtectedHeaderParameters,
} from 'jose';

/** Header members that would have a token choose its own key, or need understanding that isn't here (RFC 7515 §4.1). */
const CHOOSES_KEY = ['jku', 'jwk', 'x5u', 'crit'];

/** What other issuers may sign with: never `none`, never a shared secret (RFC 8725 §3.1). */
export const ASYMMETRIC = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

export interface UnverifiedJwt {
  readonly header: ProtectedHeaderParameters;
  readonly claims: JWTPayload;
}

/** What a token says before anything of it is proved; undefined for what is no JWT. */
export function peek(token: string): UnverifiedJwt | undefined {
  try {
    return { header: decodeProtectedHeader(token), claims: decodeJwt(token) };
  } catch {
    return undefined;
  }
}

export function choosesItsKey(header: object): boolean {
  return CHOOSES_KEY.some((name) => name in header);
}
