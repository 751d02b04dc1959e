import { type JWTPayload, jwtVerify } from 'jose';
import { isGuid } from '../../core/guid.ts';
import { CoherentCache } from '../../core/caching/coherent-cache.ts';
import type { DirectoryPrincipal } from '../../core/directory/directory.ts';
import type { PrincipalReader } from '../../core/directory/ports.ts';
import type { ChangeFeed } from '../../core/caching/change-feed.ts';
import type { Clock } from '../../core/clock.ts';
import type { Principal } from '../../core/access/principal.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import { type ClaimPath, deriveObjectId, type ExternalIssuer } from './external-issuer.ts';
import type { IssuerKeys } from './issuer-keys.ts';
import {
  asUnauthenticatedAbroad,
  CLOCK_TOLERANCE_SECONDS,
  readBinding,
  type TokenCheck,
  unauthenticated,
} from '../tokens/token-check.ts';

export interface ExternalTokensParts {
  readonly issuerKeys: IssuerKeys;
  readonly principals: PrincipalReader;
  readonly feed: ChangeFeed;
  readonly clock: Clock;
  /** Users of the directory who are known by their identity elsewhere: remembered, at most. */
  readonly remembered: number;
}

/** Entra ID puts no more into a token. */
const GROUPS_LIMIT = 200;
const TEXT_LIMIT = 512;

/** Who a token of another issuer says its holder is, before the directory is asked. */
interface Claimed {
  readonly subject: string;
  readonly principal: Principal;
}

/**
 * Tokens of other OIDC issuers. Where a user of the directory has the token's issuer and subject as an identity the holder
 * is that user, for as long as it is enabled; else a principal of the issuer's own, which no record of the directory knows.
 */
export function createExternalTokenChecks(
  issuers: readonly ExternalIssuer[],
  parts: ExternalTokensParts,
): ReadonlyMap<string, TokenCheck> {
  const { principals, feed, clock, issuerKeys } = parts;
  // That there is none has to be remembered too, or each request of such a holder would ask the store.
  const users = new CoherentCache<{ readonly user?: DirectoryPrincipal }>(
    feed,
    parts.remembered,
    ({ topic }) => (topic === 'directory' ? 'all' : undefined),
  );

  async function findUser(issuer: string, subject: string, isFresh: boolean) {
    const key = `${issuer}\n${subject}`;
    const find = async () => {
      const user = await principals.findPrincipal({ issuer, subject });
      return user === undefined ? {} : { user };
    };
    const found = isFresh ? undefined : await users.get(key, find);
    // A user that is disabled may have been enabled a moment ago.
    return (found?.user?.enabled ?? !isFresh) ? found?.user : (await users.renew(key, find))?.user;
  }

  function createCheck(config: ExternalIssuer): TokenCheck {
    return async (token, { header }) => {
      const { issuer, audiences, algorithms } = config;
      const keys = await issuerKeys(config, header.kid).catch((cause: unknown) => {
        throw unauthenticated("The keys of the token's issuer cannot be read.", cause);
      });
      const { payload } = await asUnauthenticatedAbroad(() =>
        jwtVerify(token, keys, {
          algorithms: [...algorithms],
          issuer,
          audience: [...audiences],
          clockTolerance: CLOCK_TOLERANCE_SECONDS,
          currentDate: clock.now(),
          requiredClaims: ['exp'],
        }),
      );
      const { subject, principal } = readClaims(payload, config);
      if (config.objectIds === 'claim') await requireForeign(principal);
      return {
        goodUntil: (payload.exp ?? 0) + CLOCK_TOLERANCE_SECONDS,
        // Which audiences are this service has been said for the issuer as a whole.
        isFor: () => true,
        ...readBinding(payload),
        async holder(isFresh) {
          const user = await findUser(issuer, subject, isFresh);
          if (user === undefined) return principal;
          if (!user.enabled) throw unauthenticated('The user is disabled.');
          return {
            ...principal,
            objectId: user.id,
            alsoKnownAs: [principal.objectId],
            displayName: user.displayName,
            groups: [...principal.groups, ...user.groups],
          };
        },
      };
    };
  }

  /** An issuer that names object ids itself must not name the directory's own. */
  async function requireForeign({ objectId, groups }: Principal): Promise<void> {
    if ((await principals.findOwnIds([objectId, ...groups])).length > 0)
      throw unauthenticated('The token names an object of the built-in directory.');
  }

  return new Map(issuers.map((config) => [config.issuer, createCheck(config)]));
}

function readClaims(payload: JWTPayload, config: ExternalIssuer): Claimed {
  const { issuer, tenantId, claims, objectIds } = config;
  if (claims.tenant !== undefined && textAt(payload, claims.tenant)?.toLowerCase() !== tenantId)
    throw unauthenticated('The token is of another tenant.');
  const subject = textAt(payload, claims.principal);
  if (subject === undefined)
    throw unauthenticated('The token lacks the claim that names its holder.');
  if (objectIds === 'claim' && !isGuid(subject))
    throw unauthenticated('The claim that names the holder is no GUID.');
  const applicationId = textAt(payload, claims.application);
  const displayName = textAt(payload, claims.displayName);
  const groups = groupsIn(payload, config);
  const toId = (kind: 'principal' | 'group', claim: string) =>
    objectIds === 'claim' ? claim.toLowerCase() : deriveObjectId(issuer, kind, claim);
  return {
    subject,
    principal: {
      tenantId,
      objectId: toId('principal', subject),
      ...withoutUndefined({ applicationId, displayName }),
      groups: groups.names.map((group) => toId('group', group)),
      ...(!groups.areAll && { hasUnknownGroups: true }),
    },
  };
}

/**
 * The groups that a token names, and whether it names all: not where it lacks the claim, has it in another form or with
 * more than are taken, or says that they are found elsewhere (OIDC Core §5.6.2: `_claim_names`, as Entra ID does for a
 * holder of many groups).
 */
function groupsIn(
  payload: JWTPayload,
  { claims, objectIds }: Pick<ExternalIssuer, 'claims' | 'objectIds'>,
): { readonly names: readonly string[]; readonly areAll: boolean } {
  if (claims.groups === undefined) return { names: [], areAll: true };
  const value = valueAt(payload, claims.groups);
  const given = Array.isArray(value) ? value.filter(isText) : [];
  const names = given
    .filter((group) => objectIds === 'derived' || isGuid(group))
    .slice(0, GROUPS_LIMIT);
  const areElsewhere = valueAt(payload, ['_claim_names', claims.groups[0] ?? '']) !== undefined;
  const areAll = Array.isArray(value) && names.length === given.length && !areElsewhere;
  return { names, areAll };
}

function valueAt(payload: JWTPayload, path: ClaimPath): unknown {
  let value: unknown = payload;
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name))
      return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

function textAt(payload: JWTPayload, path: ClaimPath): string | undefined {
  const value = valueAt(payload, path);
  return isText(value) ? value : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= TEXT_LIMIT;
}
