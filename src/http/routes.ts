import type { RequestHandler, Router } from 'express';
import type { Action } from '../core/access/actions.ts';
import type { ControlAction } from '../core/resources/actions.ts';
import type { AuthoredChange } from '../core/access/authored-change.ts';
import type { Authorizer } from '../core/access/ports.ts';
import type { AuditLog } from '../core/audit/ports.ts';
import type { PoolGate } from '../core/pool/pool-gate.ts';
import type { Tracing } from '../core/tracing.ts';
import type { RequestContext } from './context.ts';
import type { Refusals } from './error-handler.ts';
import type { Cursors } from './values/cursors.ts';

/** What every route needs, the same for all of them. */
export interface RouteServices {
  readonly authorizer: Authorizer;
  readonly gate: PoolGate;
  readonly auditLog: AuditLog;
  readonly refusals: Refusals;
  readonly tracing: Tracing;
  /** The request's change of roles or of the directory: stores take none without its author. */
  readonly authored: (context: RequestContext) => Promise<AuthoredChange>;
  readonly cursors: Cursors;
}

type Method = 'get' | 'head' | 'put' | 'post' | 'patch' | 'delete' | 'options';

/**
 * What a response may hold of keys: nothing, public halves, keys that only another key or an attested environment opens, or
 * bytes in the clear that may be a key (what the client had enciphered, random ones). A credential is a token or a secret
 * that opens the service itself.
 */
type KeyMaterialSent = 'none' | 'public' | 'wrapped' | 'plain' | 'credential';

/** What is known of a route before any request comes. Nothing has a default: a route that leaves something out does not compile. */
export interface RouteDeclaration {
  readonly method: Method | readonly Method[];
  /** In Express's form, `/keys/:name`. */
  readonly path: string | readonly string[];
  /** Its name in the audit log; null for a public route whose use leaves no record. */
  readonly operation: string | null;
  /** Who may call it: whoever is allowed this action, or anybody. */
  readonly action: Action | ControlAction | 'public';
  /** Whether it is about one key: a function that names it, or null. */
  readonly key: ((params: never) => string) | null;
  readonly keyMaterial: KeyMaterialSent;
}

const ROUTER = Symbol('router');

/** A place where routes are added, and nothing else: Express's router itself is seen by `declare` alone. */
export interface Routes extends BareRoutes {
  readonly services: RouteServices;
}

interface BareRoutes {
  /** What the paths of its routes begin with. */
  readonly prefix: string;
  readonly [ROUTER]: Router;
}

/** @param prefix where the router is mounted */
export function routesAt(router: Router, services: RouteServices, prefix = ''): Routes {
  return { ...bareRoutes(router, prefix), services };
}

/** For a declaration whose handler needs none of the services. */
export function bareRoutes(router: Router, prefix = ''): BareRoutes {
  return { prefix, [ROUTER]: router };
}

/** Adds a route's handler. What was declared stays with it: whoever lists the routes finds what each of them is. */
export function declare(
  { prefix, [ROUTER]: router }: BareRoutes,
  declaration: RouteDeclaration,
  handle: RequestHandler,
): void {
  const paths = [declaration.path].flat();
  const definition = { ...declaration, path: paths.map((path) => `${prefix}${path}`) };
  for (const method of [declaration.method].flat())
    router[method](paths, Object.assign(handle, { definition }));
}
