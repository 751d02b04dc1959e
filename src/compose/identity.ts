import { setTimeout as delay } from 'node:timers/promises';
import type { AuditLog } from '../core/audit/ports.ts';
import type { Refusals } from '../http/error-handler.ts';
import { auditIdentityCalls } from '../http/identity/audited-identity.ts';
import type { IdentityEndpoints } from '../http/identity/identity.routes.ts';
import { createManagedIdentityApp } from '../http/identity/managed-identity.ts';
import { createThrottle } from '../http/server/throttle.ts';
import { createAssertionCheck } from '../identity/clients/client-assertion.ts';
import { createClientAuthenticator } from '../identity/clients/clients.ts';
import { createSignInCounters } from '../store/directory/sign-in-counters.ts';
import { createSignInThrottle, SIGN_IN_LIMITS } from '../identity/clients/sign-in-throttle.ts';
import { createManagedIdentityEndpoint } from '../identity/endpoints/managed-identity.ts';
import {
  cloudEndpoints,
  createTenantCheck,
  instanceDiscovery,
  openidConfiguration,
  toKeySet,
} from '../identity/endpoints/metadata.ts';
import { createTokenEndpoint, serializeRefusal } from '../identity/endpoints/token-endpoint.ts';
import { createIssuerKeys } from '../identity/issuers/issuer-keys.ts';
import { unknownTenant } from '../identity/refusal.ts';
import { createAudienceCheck, createOwnUrlCheck } from '../identity/tokens/audiences.ts';
import { createAuthenticator } from '../identity/tokens/authenticate.ts';
import { createTokenIssuer, issuerOf } from '../identity/tokens/tokens.ts';
import { createFetchJson } from '../network/fetch-json.ts';
import { createPrincipalReader } from '../store/directory/principal-reader.ts';
import type { Base } from './service/base.ts';
import type { Directory } from './directory.ts';
import { LIMITS } from './limits.ts';
import { openTokenSigningKeys } from './token-signing-keys.ts';

/** Who calls: the tokens that are taken, and the directory that issues its own. */
export function composeIdentity(
  base: Base,
  directory: Directory,
  { auditLog, refusals }: { readonly auditLog: AuditLog; readonly refusals: Refusals },
) {
  const { settings, log, clock, pool, context, feed, hsm, keeper } = base;
  const { domain, issuers = [] } = settings;
  const isAudience = createAudienceCheck(domain);
  const isTenant = createTenantCheck(pool.tenantId);
  const signingKeys = openTokenSigningKeys(context, hsm, {
    clock,
    rotateAfterDays: settings.signingKeyDays,
    keeper,
    feed,
    onBroken: (keyId) => {
      log.error({ keyId }, 'the seal of a signing key of the directory does not verify: not used');
    },
  });
  const keySet = async (sought?: string) => toKeySet(await signingKeys.publicKeys(sought));
  const issuerKeys = composeIssuerKeys(base);
  const authenticateClient = createClientAuthenticator({
    directory: directory.store,
    credentials: directory.credentialStore,
    hasher: directory.hasher,
    verifyAssertion: createAssertionCheck({
      credentials: directory.credentialStore,
      issuerKeys,
      federatedIssuers: directory.federatedIssuers,
      isOwnUrl: createOwnUrlCheck(domain, isTenant),
      clock,
    }),
    throttle: createSignInThrottle(SIGN_IN_LIMITS, createSignInCounters(context)),
    clock,
  });
  const issuer = createTokenIssuer(signingKeys, { domain, tenantId: pool.tenantId });
  const authenticate = createAuthenticator({
    issuer: issuerOf(domain, pool.tenantId),
    tenantId: pool.tenantId,
    keySet,
    isAudience,
    principals: createPrincipalReader(context),
    feed,
    clock,
    remembered: LIMITS.cachedTokens,
    external: { issuers, issuerKeys },
  });
  const endpoints: IdentityEndpoints = {
    isTenant,
    openidConfiguration,
    unknownTenant: (requestId) => serializeRefusal(unknownTenant(), { requestId }, clock.now()),
    keySet: () => keySet(),
    instanceDiscovery,
    cloudEndpoints: (origin) => cloudEndpoints(origin, domain, pool.tenantId),
    token: createTokenEndpoint({
      tenants: isTenant,
      authenticateClient,
      isAudience,
      issuer,
      clock,
    }),
  };
  const respond = createManagedIdentityEndpoint({ authenticateClient, isAudience, issuer, clock });
  const managedIdentityApp = createManagedIdentityApp(
    auditIdentityCalls({ respond, auditLog, refusals, clock }),
    (error, requestId) => {
      log.error({ err: error, requestId }, 'a managed identity got no token');
    },
  );
  return {
    signingKeys,
    managedIdentityApp,
    endpoints,
    /** The same for all pools of the tenant: nobody gets more tries by going to several. */
    app: {
      authenticate,
      throttle: createThrottle(settings.limits, authenticate.remembers),
    },
  };
}

/** Those of other issuers, read from where they publish them. */
function composeIssuerKeys({ settings: { issuersCa }, log }: Base) {
  return createIssuerKeys({
    fetchJson: createFetchJson({
      ...(issuersCa !== undefined && { extraCa: issuersCa }),
      allowsLoopback: true,
      deadlineMs: LIMITS.fetchDeadlineMs,
      sizeLimit: LIMITS.fetchBytes,
    }),
    steadyMs: () => performance.now(),
    delay,
    onError: (issuer, error) => {
      log.warn({ err: error, issuer }, 'the keys of an issuer could not be read');
    },
  });
}
