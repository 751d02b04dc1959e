import { errors, type JWTPayload } from 'jose';
import { z } from 'zod';
import { ServiceError } from '../../core/errors.ts';
import type { Principal } from '../../core/access/principal.ts';
import type { Audience } from './audiences.ts';
import type { UnverifiedJwt } from './jwt.ts';
import { UnusableKeyError } from './key-choice.ts';

/** A token that was checked: signature, issuer, times, tenant. */
export interface VerifiedToken {
  /** Seconds since 1970-01-01 UTC, tolerance included. */
  readonly goodUntil: number;
  isFor(audience: Audience): boolean;
  /** The certificate that the connection must have shown (RFC 8705 §3.1), where the token is bound to one. */
  readonly boundTo?: string;
  /**
   * Who holds it, as the directory has it now.
   * @param isFresh whether the directory is asked, and not what is remembered of it
   * @throws ServiceError Unauthenticated, for one whose access has ended
   */
  holder(isFresh: boolean): Promise<Principal>;
}

/** @throws ServiceError Unauthenticated */
export type TokenCheck = (token: string, unverified: UnverifiedJwt) => Promise<VerifiedToken>;

export const CLOCK_TOLERANCE_SECONDS = 60;

const CertificateBinding = z.strictObject({ 'x5t#S256': z.string().length(43) });

export function unauthenticated(message: string, cause?: unknown): ServiceError {
  return new ServiceError('Unauthenticated', message, { cause });
}

/**
 * The certificate that a token's `cnf` (RFC 7800) binds it to.
 * @throws ServiceError Unauthenticated for a token that is bound to what can't be proved here (RFC 9449's keys, say)
 */
export function readBinding(payload: JWTPayload): { readonly boundTo?: string } {
  if (payload['cnf'] === undefined) return {};
  const binding = CertificateBinding.safeParse(payload['cnf']);
  if (!binding.success) throw unauthenticated('The token is bound to what cannot be proved here.');
  return { boundTo: binding.data['x5t#S256'] };
}

/** What jose finds wrong with a token, in words that may be told. */
export async function asUnauthenticated<T>(verify: () => Promise<T>): Promise<T> {
  try {
    return await verify();
  } catch (error) {
    if (error instanceof ServiceError || !(error instanceof errors.JOSEError)) throw error;
    throw unauthenticated(reasonOf(error), error);
  }
}

/**
 * The same for tokens that are checked with another's key: whatever goes wrong with it is the token's fault.
 * @throws ServiceError Unauthenticated
 */
export async function asUnauthenticatedAbroad<T>(verify: () => Promise<T>): Promise<T> {
  try {
    return await asUnauthenticated(verify);
  } catch (error) {
    if (error instanceof ServiceError) throw error;
    throw unauthenticated('The token cannot be checked with the key that it names.', error);
  }
}

function reasonOf(error: errors.JOSEError): string {
  if (error instanceof UnusableKeyError) return error.message;
  if (error instanceof errors.JWTExpired) return 'The token has expired.';
  if (error instanceof errors.JWTClaimValidationFailed)
    return CLAIM_REASONS[error.claim] ?? LACKING;
  return REASONS[error.code] ?? 'The token is not valid.';
}

const LACKING = 'The token lacks a claim, or has it in a wrong form.';
const CLAIM_REASONS: Readonly<Record<string, string>> = {
  aud: 'The token was issued for another resource.',
  iss: 'The token is of another issuer.',
  nbf: 'The token is not valid yet.',
  typ: 'The token has a header that is not accepted.',
};
/** By jose's own codes, which are stable. */
const REASONS: Readonly<Record<string, string>> = {
  ERR_JOSE_ALG_NOT_ALLOWED: 'The token is signed with an algorithm that is not accepted.',
  ERR_JWKS_NO_MATCHING_KEY: 'The token names a key that its issuer does not have.',
  ERR_JWKS_MULTIPLE_MATCHING_KEYS: 'The token does not say which key signed it.',
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: 'The signature of the token is not valid.',
};
