import { randomUUID } from 'node:crypto';
import express, { type Express, type Request, type RequestHandler, type Router } from 'express';
import type { BackupService } from '../core/recovery/backup-service.ts';
import type { RootKeyStore } from '../core/recovery/root-keys/ports.ts';
import type { FullBackupOptions } from '../core/recovery/full-backup/ports.ts';
import type { RecoveryJobs } from '../core/recovery/jobs/recovery-jobs.ts';
import type { SecurityDomainService } from '../core/recovery/security-domain/security-domain-service.ts';
import type { AccessService } from '../core/access/access-service.ts';
import type { EscalationRules } from '../core/access/escalation-rules.ts';
import { AuditDraft } from '../core/audit/draft.ts';
import type { CredentialService } from '../core/directory/credential-service.ts';
import type { CryptoService } from '../core/operations/crypto-service.ts';
import type { DirectoryService } from '../core/directory/directory-service.ts';
import { ServiceError } from '../core/errors.ts';
import type { Hsm, HsmFeatures } from '../core/keys/hsm.ts';
import type { KeyService } from '../core/keys/key-service.ts';
import type { PoolRules } from '../core/keys/new-version.ts';
import type { UsersAndGroups } from '../core/directory/users-and-groups.ts';
import type { AuditLog } from '../core/audit/ports.ts';
import type { Authorizer } from '../core/access/ports.ts';
import type { Clock } from '../core/clock.ts';
import type { PoolGate } from '../core/pool/pool-gate.ts';
import type { RotationService } from '../core/keys/rotation/rotation-service.ts';
import type { RoleService } from '../core/access/role-service.ts';
import type { SettingService } from '../core/pool/setting-service.ts';
import type { Tracing } from '../core/tracing.ts';
import type { UsageReader } from '../core/audit/usage.ts';
import { addAccessRoutes } from './access/access.routes.ts';
import { addAuditStreamRoute, type AuditStreamParts } from './audit/audit-stream.routes.ts';
import { addAuditRoutes, type AuditParts } from './audit/audit.routes.ts';
import { type Authenticate, authentication } from './identity/authentication.ts';
import { contextOf, refreshPrincipal, type RequestContext, setContext } from './context.ts';
import { addCredentialRoutes } from './directory/credentials.routes.ts';
import { addCryptoRoutes } from './operations/crypto.routes.ts';
import { createCursors } from './values/cursors.ts';
import { addDirectoryRoutes } from './directory/directory.routes.ts';
import { createErrorHandler, type Refusals } from './error-handler.ts';
import { addCapabilityRoutes } from './pool/capabilities.routes.ts';
import { addHealthRoutes, type Readiness } from './pool/health.routes.ts';
import { addIdentityRoutes, type IdentityEndpoints } from './identity/identity.routes.ts';
import { addKeyRoutes } from './keys/keys.routes.ts';
import { createKeyFormat } from './keys/keys.schema.ts';
import type { Log } from './log.ts';
import { addMembershipRoutes } from './directory/memberships.routes.ts';
import { readQuery } from './values/query-reader.ts';
import { standardHeaders } from './server/standard-headers.ts';
import { createTargetReader, normalisePath } from './server/request-target.ts';
import { addReleaseRoutes, type ReleaseParts } from './release/release.routes.ts';
import { addUsersAndGroupsRoutes } from './directory/users-and-groups.routes.ts';
import { addRandomRoutes } from './operations/random.routes.ts';
import { addRotationRoutes } from './keys/rotation.routes.ts';
import { addRoleRoutes } from './access/roles.routes.ts';
import { type Routes, routesAt, type RouteServices } from './routes.ts';
import { addResourceRoutes, type ResourceParts } from './resources/resource-routes.ts';
import { addRootKeyRoutes } from './pool/root-keys.routes.ts';
import { addReplicaRoutes, type ReplicaList } from './pool/replicas.routes.ts';
import { addFullBackupRoutes } from './recovery/full-backup.routes.ts';
import { addSecurityDomainRoutes } from './recovery/security-domain.routes.ts';
import { addSettingRoutes } from './pool/settings.routes.ts';
import type { Throttle } from './server/throttle.ts';
import { addUsageRoutes } from './audit/usage.routes.ts';

export interface AppParts {
  /** Parent domain of the pools, such as strongroom.localhost. */
  readonly domain: string;
  /** As hosts have it. */
  readonly name: string;
  readonly others: OtherPools;
  readonly pool: PoolRules;
  readonly keys: KeyService;
  readonly backups: BackupService;
  readonly rotation: RotationService;
  readonly settings: SettingService;
  readonly rootKeys: Pick<RootKeyStore, 'readState'>;
  readonly replicas: ReplicaList;
  readonly securityDomain: SecurityDomainService;
  readonly recoveryJobs: RecoveryJobs;
  readonly fullBackups: Pick<FullBackupOptions, 'withAuditRecords'>;
  readonly crypto: CryptoService;
  readonly release: ReleaseParts;
  readonly hsm: Pick<Hsm, 'random'> & HsmFeatures;
  readonly roles: RoleService;
  readonly escalation: EscalationRules;
  readonly access: AccessService;
  /** Of the pool that keeps its tenant's directory. */
  readonly tenant: TenantParts | undefined;
  readonly audit: AuditParts & AuditStreamParts;
  readonly usage: UsageReader;
  readonly auditLog: AuditLog;
  readonly refusals: Refusals;
  readonly authorizer: Authorizer;
  readonly gate: PoolGate;
  readonly authenticate: Authenticate;
  readonly throttle: Throttle;
  readonly tracing: Tracing;
  readonly readiness: Readiness;
  readonly onRequest: () => void;
  /** A response is complete, or its client has gone: called once for each request. */
  readonly onResponse: (request: FinishedRequest) => void;
  /** Of the MAC of cursors: the same for all processes that serve the pool. */
  readonly cursorKey: Uint8Array;
  readonly clock: Clock;
  readonly log: Log;
}

/** Who signs in, the directory by which that is known, and the pools of the tenant as resources. */
export interface TenantParts {
  readonly directory: DirectoryService;
  readonly credentials: CredentialService;
  readonly usersAndGroups: UsersAndGroups;
  readonly identity: IdentityEndpoints;
  /** Its control plane. */
  readonly resources: ResourceParts;
}

/** What hosts may name besides the pool itself. */
export interface OtherPools {
  /** Whether a pool goes by the directory that this one keeps: it is asked for by that pool's host, too. */
  share(name: string): boolean;
  /** For a request to a pool that isn't served here, or not now. */
  refuse(name: string): ServiceError;
}

/** What is known of a request when it is over. */
interface FinishedRequest {
  /** As the audit log names it: KeyWrap. */
  readonly operation: string;
  /** HTTP's. */
  readonly status: number;
  readonly seconds: number;
  readonly requestId: string;
}

export type App = Express;

/** A token for Graph is good at its beta as well, where there is nothing. */
const GRAPH = ['/v1.0', '/beta'];

/** The REST surface. What a request passes, in this order and without exceptions; each route declares the rest itself. */
export function createApp(parts: AppParts): App {
  const { auditLog, authorizer, gate, refusals, throttle, tracing } = parts;
  const services: RouteServices = {
    auditLog,
    authorizer,
    gate,
    refusals,
    tracing,
    cursors: createCursors(parts.cursorKey),
    authored: async (context) =>
      parts.escalation.authored(await refreshPrincipal(context), context.audit),
  };
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', readQuery);

  // Which host is meant. Probes come often, from load balancers that name none, and cost nothing.
  app.use(beginRequest(parts), normalisePath);
  addHealthRoutes(routesAt(app, services), parts.readiness);
  const isOwn = (pool: string | undefined) => pool === undefined || pool === parts.name;
  const { others, tenant } = parts;
  const isTenant = (pool: string | undefined) =>
    isOwn(pool) || (tenant !== undefined && others.share(pool ?? ''));
  app.use(throttle.byAddress, requireHost(isTenant, parts));

  // Who calls. Signing in needs no credential.
  if (tenant !== undefined) {
    const signIn = express.Router();
    app.use(onlyFor(SIGN_IN, signIn));
    addIdentityRoutes(routesAt(signIn, services), tenant.identity);
    app.use(GRAPH, authentication(parts.authenticate, 'directory', throttle, tracing));
    const directory = express.Router();
    app.use('/v1.0', directory);
    addGraphRoutes(routesAt(directory, services, '/v1.0'), tenant);
    // Else the router would answer an OPTIONS that it has no route for by itself.
    directory.use(noOperation);
    app.use(GRAPH, noOperation);
    const resources = express.Router();
    app.use(onlyFor(RESOURCES, resources));
    resources.use(authentication(parts.authenticate, 'pool', throttle, tracing));
    addResourceRoutes(routesAt(resources, services), tenant.resources);
    resources.use(noOperation);
    // Keys are those of the pool that the host names, and of no other.
    app.use(requireHost(isOwn, parts));
  }

  app.use(authentication(parts.authenticate, 'pool', throttle, tracing));
  addPoolRoutes(routesAt(app, services), parts);
  app.use(noOperation, createErrorHandler(auditLog, refusals, parts.log));
  return app;
}

const SIGN_IN = /\/(?:\.well-known|discovery|oauth2)\/|^\/metadata\/endpoints\/?$/i;
/** A key may have the name of a step of signing in. */
const KEYS = /^\/(?:deleted)?keys\//i;
const DIRECTORY = /^\/(?:v1\.0|beta)(?:\/|$)/i;
const RESOURCES = /^\/subscriptions(?:\/|$)/i;

/** Whether the pool that keeps the tenant's directory answers at this path, whichever pool the host names. */
export function isOfTenant(path: string): boolean {
  return DIRECTORY.test(path) || RESOURCES.test(path) || (SIGN_IN.test(path) && !KEYS.test(path));
}

/**
 * Express holds a request against the pattern of every route before its own. Signing in has fifteen, of which the first
 * part may be any tenant, and the control plane has more: one pattern that says at once that none of them can match saves
 * each other request some 20 us.
 */
function onlyFor(paths: RegExp, router: Router): RequestHandler {
  const entrance: RequestHandler = (req, res, next) => {
    // A router would answer an OPTIONS that it has no route for by itself.
    if (paths.test(req.path) && req.method !== 'OPTIONS') router(req, res, next);
    else next();
  };
  // Where a router has its routes: whoever lists those of the application finds them.
  return Object.assign(entrance, { stack: router.stack });
}

/** The directory, as Microsoft Graph has it. */
function addGraphRoutes(routes: Routes, parts: TenantParts): void {
  addDirectoryRoutes(routes, parts.directory, parts.credentials);
  addCredentialRoutes(routes, parts.credentials);
  addUsersAndGroupsRoutes(routes, parts.usersAndGroups);
  addMembershipRoutes(routes, parts.usersAndGroups);
}

/** Keys and all else that belongs to a pool. Where two paths fit a request, the one that comes first takes it. */
function addPoolRoutes(routes: Routes, parts: AppParts): void {
  const formatOf = createKeyFormat(parts.pool);
  addCryptoRoutes(routes, parts.crypto);
  // Before the keys, whose /keys/:name/:version would take their paths for versions.
  addRotationRoutes(routes, parts.rotation, formatOf);
  addReleaseRoutes(routes, parts.release, formatOf);
  addKeyRoutes(routes, parts.keys, parts.backups, formatOf);
  addSettingRoutes(routes, parts.settings);
  addRootKeyRoutes(routes, parts.rootKeys);
  addReplicaRoutes(routes, parts.replicas);
  addSecurityDomainRoutes(routes, parts.securityDomain);
  addFullBackupRoutes(routes, parts);
  addCapabilityRoutes(routes, parts.hsm);
  addRandomRoutes(routes, parts.hsm);
  addRoleRoutes(routes, parts.roles);
  addAccessRoutes(routes, parts.access);
  addAuditRoutes(routes, parts.audit);
  addUsageRoutes(routes, parts.usage);
  addAuditStreamRoute(routes, parts.audit);
}

/** Gives the request its id, its clock and the draft of its audit record. */
function beginRequest({ domain, clock, onRequest, onResponse, tracing }: AppParts): RequestHandler {
  const readTarget = createTargetReader(domain);
  const now = () => clock.now();
  return (req, res, next) => {
    const requestId = randomUUID();
    const startedAt = performance.now();
    const clientRequestId = headerOf(req, 'x-ms-client-request-id');
    const userAgent = headerOf(req, 'user-agent');
    const clientAddress = req.socket.remoteAddress;
    const known = { requestId, operation: 'Unknown', clientRequestId, userAgent, clientAddress };
    const audit = new AuditDraft(now, known);
    const unread = { authority: '', challenge: '', pool: undefined };
    // All its members at once: objects of one form are read faster than those that grow.
    const context: RequestContext = {
      requestId,
      headers: standardHeaders(requestId, clientAddress),
      host: unread,
      startedAt,
      audit,
      audited: false,
      accept: req.headers.accept,
      principal: undefined,
      apiVersion: undefined,
      authenticate: undefined,
    };
    setContext(res, context);
    onRequest();
    tracing.request(headerOf(req, 'traceparent'), (span) => {
      res.once('close', () => {
        const { operation } = audit;
        const status = res.statusCode;
        const seconds = (performance.now() - startedAt) / 1000;
        onResponse({ operation, status, seconds, requestId });
        span.end(operation, status, requestId);
      });
      context.host = readTarget(req);
      next();
    });
  };
}

/** Node puts repeated ones together, but for a few names. */
function headerOf({ headers }: Request, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

const EXTERNAL_KEYS = /^\/ekm(?:\/|$)/i;

/** No route has taken the request. */
const noOperation: RequestHandler = ({ method, baseUrl, path }) => {
  if (EXTERNAL_KEYS.test(`${baseUrl}${path}`))
    throw new ServiceError(
      'NotImplemented',
      'External key management (/ekm) is not available: the keys of this pool are in its own HSM.',
    );
  throw new ServiceError('PathNotFound', `There is no operation ${method} at this path.`);
};

/** A credential that comes to a pool that isn't here is refused with it, and counts among those that were. */
const requireHost =
  (
    isServed: (pool: string | undefined) => boolean,
    { throttle, others }: Pick<AppParts, 'throttle' | 'others'>,
  ): RequestHandler =>
  async (req, res, next) => {
    const context = contextOf(res);
    const { pool } = context.host;
    if (isServed(pool)) {
      next();
      return;
    }
    if (req.headers.authorization !== undefined) {
      context.audited = true;
      await throttle.countRefusal(req.socket.remoteAddress);
    }
    throw others.refuse(pool ?? '');
  };
