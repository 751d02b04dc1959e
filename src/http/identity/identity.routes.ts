import express, { type Request, type RequestHandler, type Response, type Router } from 'express';
import { type AuditLog } from '../../core/audit/ports.ts';
import { spellCharset } from '../values/charset.ts';
import { clientThumbprint } from './client-certificate.ts';
import { contextOf } from '../context.ts';
import { type Refusals } from '../error-handler.ts';
import { send } from '../send.ts';

/** The endpoint version that a client speaks: v1 names a `resource`, v2.0 a `scope`. */
type Version = 'v1' | 'v2.0';

/** What the directory answers, in the shapes of Entra ID. `origin` is https://host[:port], as the caller wrote it. */
export interface IdentityEndpoints {
  /** Whether this directory is called so, by its GUID or by its alias. */
  isTenant(tenant: string): boolean;
  /** @param authority https://host[:port]/{tenant}, as the caller wrote it */
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

/** A certificate assertion with its chain is the largest form that clients send. */
const FORM_LIMIT = '64kb';
const parseForm = express.urlencoded({ extended: false, limit: FORM_LIMIT, parameterLimit: 100 });

/**
 * `az login --tenant` puts its tenant after an authority that ends with the alias already (azure-cli, profile/_validators.py),
 * and MSAL keeps the whole path of an authority that begins with it.
 */
const ofTenant = (path: string) => [`/:tenant/${path}`, `/adfs/:tenant/${path}`];

/** Before the form is read: one that can't be is refused with a record, too. */
const audited: RequestHandler = (req, res, next) => {
  const context = contextOf(res);
  context.audit.note({ operation: 'TokenIssue' });
  context.audited = true;
  spellCharset(req);
  next();
};

/** Sign-in: no credential is needed to ask, so these come before authentication. */
export function addIdentityRoutes(
  router: Router,
  auditLog: AuditLog,
  refusals: Refusals,
  identity: IdentityEndpoints,
): void {
  const originOf = (res: Response) => `https://${contextOf(res).host.authority}`;

  router.get('/common/discovery/instance', (_req, res) => {
    send(res, 200, identity.instanceDiscovery(originOf(res)));
  });

  router.get('/metadata/endpoints', (_req, res) => {
    send(res, 200, identity.cloudEndpoints(originOf(res)));
  });
  // `az login` asks for subscriptions, and goes on without any where it is told that it may.
  router.get('/subscriptions', (_req, res) => {
    send(res, 200, { value: [] });
  });

  for (const [path, version] of [
    // First, or the version would pass for a tenant.
    ['v2.0/.well-known/openid-configuration', 'v2.0'],
    ['.well-known/openid-configuration', 'v1'],
  ] as const)
    router.get(ofTenant(path), (req, res) => {
      // As it was written: clients hold the issuer against what they asked (OpenID Connect Discovery 1.0 §4.3).
      const authority = `${originOf(res)}${req.path.slice(0, -path.length - 1)}`;
      if (identity.isTenant(tenantOf(req)))
        send(res, 200, identity.openidConfiguration(authority, version));
      else send(res, 400, identity.unknownTenant(contextOf(res).requestId));
    });

  router.get(['discovery/v2.0/keys', 'discovery/keys'].flatMap(ofTenant), async (_req, res) => {
    send(res, 200, await identity.keySet());
  });

  for (const [path, version] of [
    ['oauth2/token', 'v1'],
    ['oauth2/v2.0/token', 'v2.0'],
  ] as const)
    router.post(ofTenant(path), audited, parseForm, async (req, res) => {
      const { audit, requestId } = contextOf(res);
      const response = await identity.token({
        form: (req.body ?? {}) as Record<string, unknown>,
        tenant: tenantOf(req),
        version,
        authorization: req.headers.authorization,
        address: req.socket.remoteAddress ?? '',
        thumbprint: clientThumbprint(req),
        requestId,
      });
      audit.note({ ...response.client });
      const errorCode = 'error' in response.body ? String(response.body.error) : undefined;
      const { status, reason } = response;
      const record = audit.finish({
        status,
        ...(errorCode !== undefined && { errorCode }),
        ...(reason !== undefined && { reason }),
      });
      if (status < 400 || refusals.admit(record)) await auditLog.append(record);
      // RFC 6749 §5.1: tokens must not be cached.
      const headers = { ...response.headers, 'Cache-Control': 'no-store' };
      send(res, response.status, response.body, Object.entries(headers).flat());
    });
}

function tenantOf(req: Request): string {
  const { tenant } = req.params;
  return typeof tenant === 'string' ? tenant : '';
}
