import {
  decodeJwt,
  decodeProtectedHeader,
  type JWTPayload,
  type ProtectedHeaderParameters,
} from 'jose';
import { isAllStorable } from '../../core/storable-text.ts';

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

/** Members that are texts wherever they are (RFC 7515 §4.1, RFC 7519 §4.1). */
const TEXTS = ['alg', 'kid', 'x5t', 'x5t#S256', 'typ', 'iss', 'sub', 'jti'];

/**
 * What a token says before anything of it is proved; undefined for what is no JWT, or says in it what can't be stored:
 * names in it become names in the audit log and the directory.
 */
export function peek(token: string): UnverifiedJwt | undefined {
  try {
    const read = { header: decodeProtectedHeader(token), claims: decodeJwt(token) };
    return [read.header, read.claims].every(isOrderly) ? read : undefined;
  } catch {
    return undefined;
  }
}

function isOrderly(part: Readonly<Record<string, unknown>>): boolean {
  const isText = (name: string) => part[name] === undefined || typeof part[name] === 'string';
  return TEXTS.every(isText) && isAllStorable(part);
}

export function choosesItsKey(header: object): boolean {
  return CHOOSES_KEY.some((name) => name in header);
}
