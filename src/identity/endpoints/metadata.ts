import { base64url, type JSONWebKeySet } from 'jose';
import type { DirectoryKey } from '../../core/directory/token-signing-keys.ts';

/** With this tenant name Microsoft's libraries skip their call to Microsoft's own servers. */
const ALIAS = 'adfs';

export function isAlias(tenant: string): boolean {
  return tenant.toLowerCase() === ALIAS;
}

/** Whether a path's tenant is this directory: its GUID, or the alias. */
export function createTenantCheck(tenantId: string): (tenant: string) => boolean {
  return (tenant) => isAlias(tenant) || tenant.toLowerCase() === tenantId;
}

/**
 * OpenID Connect Discovery 1.0 §3. The issuer has the host that was asked: clients refuse any other.
 * @param authority https://host[:port]/{tenant} as the client wrote it
 */
export function openidConfiguration(authority: string, version: 'v1' | 'v2.0'): object {
  const endpoints = version === 'v1' ? `${authority}/oauth2` : `${authority}/oauth2/v2.0`;
  return {
    authorization_endpoint: `${endpoints}/authorize`,
    grant_types_supported: ['client_credentials'],
    id_token_signing_alg_values_supported: ['RS256'],
    issuer: version === 'v1' ? authority : `${authority}/v2.0`,
    jwks_uri: `${authority}/discovery/v2.0/keys`,
    response_types_supported: ['code'],
    subject_types_supported: ['pairwise'],
    token_endpoint: `${endpoints}/token`,
    token_endpoint_auth_methods_supported: [
      'client_secret_post',
      'client_secret_basic',
      'private_key_jwt',
      'self_signed_tls_client_auth',
    ],
    tls_client_certificate_bound_access_tokens: true,
    token_endpoint_auth_signing_alg_values_supported: ['PS256', 'RS256'],
  };
}

/** What Microsoft's libraries ask before they believe an authority that they don't know. */
export function instanceDiscovery(origin: string): object {
  const host = new URL(origin).host;
  return {
    'api-version': '1.1',
    metadata: [{ aliases: [host], preferred_cache: host, preferred_network: host }],
    tenant_discovery_endpoint: `${origin}/${ALIAS}/v2.0/.well-known/openid-configuration`,
  };
}

/**
 * Where things are, as Azure Resource Manager tells `az cloud register` (api-version 2022-09-01). The tenant of ADFS is the
 * one that `az` doesn't ask Microsoft's servers about.
 */
export function cloudEndpoints(origin: string, domain: string, tenantId: string): object {
  const { port } = new URL(origin);
  const parent = `${domain}${port === '' ? '' : `:${port}`}`;
  return {
    authentication: {
      audiences: [`https://${parent}`],
      identityProvider: 'ADFS',
      loginEndpoint: `${origin}/${ALIAS}`,
      tenant: tenantId,
    },
    graphAudience: origin,
    microsoftGraphResourceId: `${origin}/`,
    name: 'Strongroom',
    resourceManager: origin,
    // Where az looks for an account that is named without its address, as it does for backups.
    suffixes: { keyVaultDns: parent, mhsmDns: parent, storage: parent },
  };
}

export function toKeySet(keys: readonly DirectoryKey[]): JSONWebKeySet {
  return {
    keys: keys.map(({ kid, n, e }) => ({
      alg: 'RS256',
      e: base64url.encode(e),
      kid,
      kty: 'RSA',
      n: base64url.encode(n),
      use: 'sig',
    })),
  };
}
