import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../core/clock.ts';
import type { Principal } from '../../core/access/principal.ts';
import type { Audience } from './audiences.ts';
import type { ExternalIssuer } from '../issuers/external-issuer.ts';
import { createExternalTokenChecks } from '../issuers/external-tokens.ts';
import type { IssuerKeys } from '../issuers/issuer-keys.ts';
import { choosesItsKey, peek } from './jwt.ts';
import { createOwnTokenCheck, type OwnTokensParts } from './own-tokens.ts';
import { type TokenCheck, unauthenticated, type VerifiedToken } from './token-check.ts';

export interface AuthenticatorParts extends OwnTokensParts {
  /** Issuers besides the built-in directory. */
  readonly external?: {
    readonly issuers: readonly ExternalIssuer[];
    readonly issuerKeys: IssuerKeys;
  };
  readonly clock: Clock;
}

interface AuthenticateOptions {
  readonly audience: Audience;
  /** Of the certificate of the connection (RFC 8705 §3.1), where the client has shown one. */
  readonly thumbprint: () => string | undefined;
  /** The directory is asked, and not what is remembered of it. */
  readonly isFresh?: true;
}

const HEADER_LIMIT = 16_384;
/** RFC 6750 §2.1: one blank or more after the scheme (RFC 9110 §11.4), and clients are not strict about which. */
const BEARER = /^Bearer[ \t]+([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i;

/** The credential, where the header has the form of one. */
function tokenOf(authorizationHeader: string | undefined): string | undefined {
  return authorizationHeader !== undefined && authorizationHeader.length <= HEADER_LIMIT
    ? BEARER.exec(authorizationHeader)?.[1]
    : undefined;
}

/**
 * Who a bearer token says its holder is. A token is checked once (signature, issuer, tenant, times) and remembered by its
 * digest until it expires; whether its principal still exists and is enabled is asked every time.
 * @throws ServiceError Unauthenticated
 */
export function createAuthenticator(parts: AuthenticatorParts) {
  const { clock, external } = parts;
  const tokens = new LRUCache<string, VerifiedToken>({ max: parts.remembered });
  const checks = new Map<string, TokenCheck>([
    ...(external === undefined
      ? []
      : createExternalTokenChecks(external.issuers, { ...parts, ...external })),
    // The directory's own last: nobody else is believed under its name.
    [parts.issuer, createOwnTokenCheck(parts)],
  ]);

  async function verify(token: string): Promise<VerifiedToken> {
    const digest = digestOf(token);
    const known = tokens.get(digest);
    if (known !== undefined) {
      if (clock.now().getTime() / 1000 < known.goodUntil) return known;
      tokens.delete(digest);
      throw unauthenticated('The token has expired.');
    }
    const read = peek(token);
    if (read === undefined) throw unauthenticated('The token is not valid.');
    if (choosesItsKey(read.header) || 'x5c' in read.header)
      throw unauthenticated('The token has a header that is not accepted.');
    const check = checks.get(read.claims.iss ?? '');
    if (check === undefined) throw unauthenticated('The issuer of the token is not known here.');
    const verified = await check(token, read);
    tokens.set(digest, verified);
    return verified;
  }

  /** Whether this credential was found good before, and would be still: then to look at it costs next to nothing. */
  function remembers(authorizationHeader: string): boolean {
    const token = tokenOf(authorizationHeader);
    const known = token === undefined ? undefined : tokens.get(digestOf(token));
    return known !== undefined && clock.now().getTime() / 1000 < known.goodUntil;
  }

  const authenticate = async (
    authorizationHeader: string | undefined,
    { audience, thumbprint, isFresh }: AuthenticateOptions,
  ): Promise<Principal> => {
    const token = tokenOf(authorizationHeader);
    if (token === undefined)
      throw unauthenticated('The Authorization header holds no bearer token.');
    const verified = await verify(token);
    if (!verified.isFor(audience))
      throw unauthenticated('The token was issued for another resource.');
    if (verified.boundTo !== undefined && verified.boundTo !== thumbprint())
      throw unauthenticated(
        'The token is bound to a certificate that this connection has not shown.',
      );
    return verified.holder(isFresh === true);
  };
  return Object.assign(authenticate, { remembers });
}

function digestOf(token: string): string {
  return hash('sha256', token, 'base64');
}
