import type { Request } from 'express';
import { withoutUndefined } from '../../core/without-undefined.ts';
import type { RequestContext } from '../context.ts';
import { publicRoute, type Reply } from '../public-route.ts';
import type { Routes } from '../routes.ts';
import { readForm } from '../values/form-body.ts';
import { clientThumbprint } from './client-certificate.ts';

/** The endpoint version that a client speaks: v1 names a `resource`, v2.0 a `scope`. */
type Version = 'v1' | 'v2.0';

/** What the directory answers, in the shapes of Entra ID. `origin` is https://host[:port], as the client wrote it. */
export interface IdentityEndpoints {
  /** Whether this directory is called so, by its GUID or by its alias. */
  isTenant(tenant: string): boolean;
  /** @param authority https://host[:port]/{tenant}, as the client wrote it */
  openidConfiguration(authority: string, version: Version): object;
  /** What is said of a tenant that isn't here. */
  unknownTenant(requestId: string): object;
  /** The directory's signing keys, RFC 7517 §5. */
  keySet(): Promise<object>;
  instanceDiscovery(origin: string): object;
  /** What `az cloud register` asks of a cloud's resource manager. */
  cloudEndpoints(origin: string): object;
  token(request: {
    readonly form: Readonly<Record<string, unknown>>;
    readonly tenant: string;
    readonly version: Version;
    readonly authorization: string | undefined;
    readonly address: string;
    readonly thumbprint: string | undefined;
    readonly requestId: string;
  }): Promise<TokenResponse>;
}

interface TokenResponse {
  readonly status: number;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
  /** The client that was found, for the audit record. */
  readonly client?: { readonly applicationId: string; readonly principalId?: string };
  /** Of a refusal, for the audit record. */
  readonly reason?: string;
}

/**
 * `az login --tenant` puts its tenant after an authority that ends with the alias already (azure-cli, profile/_validators.py),
 * and MSAL keeps the whole path of an authority that begins with it.
 */
const ofTenant = (path: string) => [`/:tenant/${path}`, `/adfs/:tenant/${path}`];

const open = {
  method: 'get',
  operation: null,
  action: 'public',
  key: null,
  keyMaterial: 'none',
} as const;

/** Sign-in: no credential is needed to ask, so these come before authentication. */
export function addIdentityRoutes(routes: Routes, identity: IdentityEndpoints): void {
  const originOf = ({ host }: RequestContext) => `https://${host.authority}`;

  publicRoute(routes, {
    ...open,
    path: '/common/discovery/instance',
    handler: ({ context }) => ok(identity.instanceDiscovery(originOf(context))),
  });

  publicRoute(routes, {
    ...open,
    path: '/metadata/endpoints',
    handler: ({ context }) => ok(identity.cloudEndpoints(originOf(context))),
  });

  for (const [path, version] of [
    // First, or the version would pass for a tenant.
    ['v2.0/.well-known/openid-configuration', 'v2.0'],
    ['.well-known/openid-configuration', 'v1'],
  ] as const)
    publicRoute(routes, {
      ...open,
      path: ofTenant(path),
      handler: ({ request, context }) => {
        if (!identity.isTenant(tenantOf(request)))
          return { status: 400, body: identity.unknownTenant(context.requestId) };
        // As it was written: clients hold the issuer against what they asked (OpenID Connect Discovery 1.0 §4.3).
        const authority = `${originOf(context)}${request.path.slice(0, -path.length - 1)}`;
        return ok(identity.openidConfiguration(authority, version));
      },
    });

  publicRoute(routes, {
    ...open,
    path: ['discovery/v2.0/keys', 'discovery/keys'].flatMap(ofTenant),
    keyMaterial: 'public',
    handler: async () => ok(await identity.keySet()),
  });

  for (const [path, version] of [
    ['oauth2/token', 'v1'],
    ['oauth2/v2.0/token', 'v2.0'],
  ] as const)
    publicRoute(routes, {
      ...open,
      method: 'post',
      path: ofTenant(path),
      operation: 'TokenIssue',
      keyMaterial: 'credential',
      readBody: readForm,
      handler: async ({ request, body: form, context }) => {
        const { status, body, headers, client, reason } = await identity.token({
          form: form as Readonly<Record<string, unknown>>,
          tenant: tenantOf(request),
          version,
          authorization: request.headers.authorization,
          address: request.socket.remoteAddress ?? '',
          thumbprint: clientThumbprint(request),
          requestId: context.requestId,
        });
        context.audit.note({ ...client });
        const errorCode = 'error' in body ? String(body.error) : undefined;
        // RFC 6749 §5.1: tokens must not be cached.
        const uncached = { ...headers, 'Cache-Control': 'no-store' };
        return {
          status,
          body,
          headers: uncached,
          refusal: withoutUndefined({ errorCode, reason }),
        };
      },
    });
}

function ok(body: object): Reply {
  return { status: 200, body };
}

function tenantOf(request: Request): string {
  const { tenant } = request.params;
  return typeof tenant === 'string' ? tenant : '';
}
