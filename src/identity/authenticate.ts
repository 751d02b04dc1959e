import { createHash } from 'node:crypto';
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { CoherentCache } from '../core/coherent-cache.ts';
import { type DirectoryPrincipal } from '../core/directory.ts';
import { type PrincipalReader } from '../core/directory-ports.ts';
import { ServiceError } from '../core/errors.ts';
import { type ChangeFeed, type Clock, type StateChange } from '../core/ports.ts';
import { type Principal } from '../core/principal.ts';
import { type Audience, type AudienceCheck } from './audiences.ts';

export interface AuthenticatorParts {
  readonly issuer: string;
  readonly tenantId: string;
  /** RFC 7517 §5; `sought` is the key that a token names. */
  readonly keySet: (sought?: string) => Promise<JSONWebKeySet>;
  readonly isAudience: AudienceCheck;
  readonly principals: PrincipalReader;
  readonly feed: ChangeFeed;
  readonly clock: Clock;
  /** Tokens and principals remembered, at most, of each. */
  readonly remembered: number;
}

const CLOCK_TOLERANCE_SECONDS = 60;
const HEADER_LIMIT = 16_384;
const BEARER = /^Bearer ([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i;

const Claims = z.object({
  aud: z.string(),
  exp: z.number(),
  oid: z.string().min(1).max(128),
  tid: z.string(),
  appid: z.string().max(128).optional(),
});

interface Verified {
  readonly audience: string;
  /** Seconds since 1970-01-01 UTC, tolerance included. */
  readonly goodUntil: number;
  readonly objectId: string;
  readonly applicationId?: string;
}

/** Header members that would have the token choose its own key, or need understanding that isn't here (RFC 7515 §4.1). */
const REFUSED_HEADERS = ['jku', 'jwk', 'x5u', 'x5c', 'crit'];

/**
 * Who a bearer token says its holder is. A token is checked once (signature, issuer, tenant, times) and remembered by its
 * digest until it expires; whether its principal still exists and is enabled is asked every time.
 * @throws ServiceError Unauthenticated
 */
export function createAuthenticator(parts: AuthenticatorParts) {
  const { clock, isAudience, tenantId } = parts;
  const tokens = new LRUCache<string, Verified>({ max: parts.remembered });
  const principals = new CoherentCache<DirectoryPrincipal>(parts.feed, parts.remembered, touched);

  async function verify(token: string): Promise<Verified> {
    const digest = createHash('sha256').update(token).digest('base64');
    const known = tokens.get(digest);
    if (known !== undefined) {
      if (clock.now().getTime() / 1000 < known.goodUntil) return known;
      tokens.delete(digest);
      throw unauthenticated('The token has expired.');
    }
    const claims = Claims.safeParse(await checkSignature(token));
    if (!claims.success) throw unauthenticated('The token lacks a claim.');
    const { aud, exp, oid, tid, appid } = claims.data;
    if (tid !== tenantId) throw unauthenticated('The token is of another tenant.');
    const verified: Verified = {
      audience: aud,
      goodUntil: exp + CLOCK_TOLERANCE_SECONDS,
      objectId: oid,
      ...(appid !== undefined && { applicationId: appid }),
    };
    tokens.set(digest, verified);
    return verified;
  }

  async function checkSignature(token: string): Promise<JWTPayload> {
    try {
      const { payload, protectedHeader } = await jwtVerify(
        token,
        async (header) => createLocalJWKSet(await parts.keySet(header.kid))(header),
        {
          algorithms: ['RS256'],
          issuer: parts.issuer,
          typ: 'JWT',
          clockTolerance: CLOCK_TOLERANCE_SECONDS,
          currentDate: clock.now(),
          requiredClaims: ['aud', 'exp', 'iat'],
        },
      );
      if (
        REFUSED_HEADERS.some((name) => name in protectedHeader) ||
        protectedHeader.kid === undefined
      )
        throw unauthenticated('The token has a header that is not accepted.');
      return payload;
    } catch (error) {
      if (error instanceof ServiceError || !(error instanceof errors.JOSEError)) throw error;
      throw unauthenticated(
        error instanceof errors.JWTExpired ? 'The token has expired.' : 'The token is not valid.',
        error,
      );
    }
  }

  return async (
    authorizationHeader: string | undefined,
    { audience }: { readonly audience: Audience },
  ): Promise<Principal> => {
    const token =
      authorizationHeader !== undefined && authorizationHeader.length <= HEADER_LIMIT
        ? BEARER.exec(authorizationHeader)?.[1]
        : undefined;
    if (token === undefined)
      throw unauthenticated('The Authorization header holds no bearer token.');
    const verified = await verify(token);
    if (!isAudience(verified.audience, audience))
      throw unauthenticated('The token was issued for another resource.');
    const { objectId, applicationId } = verified;
    const principal = await principals.get(objectId, () =>
      parts.principals.findPrincipal({ id: objectId }),
    );
    if (principal?.enabled !== true)
      throw unauthenticated('The principal does not exist any more, or is disabled.');
    return {
      tenantId,
      objectId,
      ...(applicationId !== undefined && { applicationId }),
      displayName: principal.displayName,
      groups: principal.groups,
    };
  };
}

/** A change of users or groups may be about anyone. */
function touched({ topic, id }: StateChange) {
  if (topic !== 'directory') return undefined;
  return id === '*' ? ('all' as const) : { key: id };
}

function unauthenticated(message: string, cause?: unknown): ServiceError {
  return new ServiceError('Unauthenticated', message, { cause });
}
