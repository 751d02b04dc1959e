import { errors } from 'jose';
import { ServiceError } from '../core/errors.ts';
import { type Principal } from '../core/principal.ts';
import { type Audience } from './audiences.ts';
import { type UnverifiedJwt } from './jwt.ts';

/** A token that was checked: signature, issuer, times, tenant. */
export interface VerifiedToken {
  /** Seconds since 1970-01-01 UTC, tolerance included. */
  readonly goodUntil: number;
  isFor(audience: Audience): boolean;
  /** Who holds it, as the directory has it now. @throws ServiceError Unauthenticated, for one whose access has ended */
  holder(): Promise<Principal>;
}

/** @throws ServiceError Unauthenticated */
export type TokenCheck = (token: string, unverified: UnverifiedJwt) => Promise<VerifiedToken>;

export const CLOCK_TOLERANCE_SECONDS = 60;

export function unauthenticated(message: string, cause?: unknown): ServiceError {
  return new ServiceError('Unauthenticated', message, { cause });
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
