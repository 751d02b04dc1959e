import { errors, type JWTPayload } from 'jose';
import { z } from 'zod';
import { ServiceError } from '../core/errors.ts';
import { type Principal } from '../core/principal.ts';
import { type Audience } from './audiences.ts';
import { type UnverifiedJwt } from './jwt.ts';

/** A token that was checked: signature, issuer, times, tenant. */
export interface VerifiedToken {
  /** Seconds since 1970-01-01 UTC, tolerance included. */
  readonly goodUntil: number;
  isFor(audience: Audience): boolean;
  /** The certificate that the connection must have shown (RFC 8705 §3.1), where the token is bound to one. */
  readonly boundTo?: string;
  /** Who holds it, as the directory has it now. @throws ServiceError Unauthenticated, for one whose access has ended */
  holder(): Promise<Principal>;
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
    throw unauthenticated(
      error instanceof errors.JWTExpired ? 'The token has expired.' : 'The token is not valid.',
      error,
    );
  }
}
