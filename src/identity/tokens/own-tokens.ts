import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { z } from 'zod';
import { CoherentCache } from '../../core/caching/coherent-cache.ts';
import type { DirectoryPrincipal } from '../../core/directory/directory.ts';
import type { PrincipalReader } from '../../core/directory/ports.ts';
import type { ChangeFeed, StateChange } from '../../core/caching/change-feed.ts';
import type { Clock } from '../../core/clock.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import type { AudienceCheck } from './audiences.ts';
import {
  asUnauthenticated,
  CLOCK_TOLERANCE_SECONDS,
  readBinding,
  type TokenCheck,
  unauthenticated,
} from './token-check.ts';

export interface OwnTokensParts {
  readonly issuer: string;
  readonly tenantId: string;
  /** RFC 7517 §5; `sought` is the key that a token names. */
  readonly keySet: (sought?: string) => Promise<JSONWebKeySet>;
  readonly isAudience: AudienceCheck;
  readonly principals: PrincipalReader;
  readonly feed: ChangeFeed;
  readonly clock: Clock;
  /** Principals remembered, at most. */
  readonly remembered: number;
}

const Claims = z.object({
  aud: z.string(),
  exp: z.number(),
  oid: z.string().min(1).max(128),
  tid: z.string(),
  appid: z.string().max(128).optional(),
});

/** Tokens of the built-in directory. */
export function createOwnTokenCheck(parts: OwnTokensParts): TokenCheck {
  const { issuer, tenantId, keySet, isAudience, clock } = parts;
  const principals = new CoherentCache<DirectoryPrincipal>(parts.feed, parts.remembered, touched);

  return async (token) => {
    const { payload, protectedHeader } = await asUnauthenticated(() =>
      jwtVerify(token, async (header) => createLocalJWKSet(await keySet(header.kid))(header), {
        algorithms: ['RS256'],
        issuer,
        typ: 'JWT',
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        currentDate: clock.now(),
        requiredClaims: ['aud', 'exp', 'iat'],
      }),
    );
    if (protectedHeader.kid === undefined)
      throw unauthenticated('The token has a header that is not accepted.');
    const claims = Claims.safeParse(payload);
    if (!claims.success) throw unauthenticated('The token lacks a claim.');
    const { aud, exp, oid: objectId, tid, appid: applicationId } = claims.data;
    if (tid !== tenantId) throw unauthenticated('The token is of another tenant.');
    const good = { pool: isAudience(aud, 'pool'), directory: isAudience(aud, 'directory') };
    return {
      goodUntil: exp + CLOCK_TOLERANCE_SECONDS,
      isFor: (audience) => good[audience],
      ...readBinding(payload),
      async holder(isFresh) {
        const find = () => parts.principals.findPrincipal({ id: objectId });
        let principal = isFresh ? undefined : await principals.get(objectId, find);
        // It may have been enabled a moment ago.
        if (principal?.enabled !== true) principal = await principals.renew(objectId, find);
        if (principal?.enabled !== true)
          throw unauthenticated('The principal does not exist any more, or is disabled.');
        return {
          tenantId,
          objectId,
          ...withoutUndefined({ applicationId }),
          displayName: principal.displayName,
          groups: principal.groups,
        };
      },
    };
  };
}

/** A change of users or groups may be about anyone. */
function touched({ topic, id }: StateChange) {
  if (topic !== 'directory') return undefined;
  return id === '*' ? ('all' as const) : { key: id };
}
