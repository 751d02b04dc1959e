import type { ParsedUrlQuery } from 'node:querystring';
import type { Request, Response } from 'express';
import type { z } from 'zod';
import type { Action } from '../core/access/actions.ts';
import { ServiceError } from '../core/errors.ts';
import type { Authorizer } from '../core/access/ports.ts';
import type { Scope } from '../core/access/role.ts';
import { requireServed } from '../core/pool/pool-gate.ts';
import { isStorable, NOT_STORABLE } from '../core/storable-text.ts';
import { parseApiVersion } from './api-version.ts';
import { contextOf, principalOf, refreshPrincipal, type RequestContext } from './context.ts';
import { declare, type RouteDeclaration, type Routes, type RouteServices } from './routes.ts';
import { listOf, openCursor, sealLinks } from './values/cursors.ts';
import { type BodyReader, createJsonReader } from './values/json-body.ts';
import { createNameReader } from './values/query-reader.ts';
import { send, WithHeaders } from './send.ts';

/** What is decided before a request's body is read. The key, where there is one, is named by the path. */
export interface RouteAccess<Params> extends RouteDeclaration {
  readonly operation: string;
  readonly action: Action;
  /** A promise where the path alone doesn't say it. */
  readonly scope: (params: Params) => Scope | Promise<Scope>;
  readonly key: ((params: Params) => string) | null;
  /** Answered by a pool that isn't activated, though it takes an action of keys. */
  readonly beforeActivation?: boolean;
  /** Answered even while a full restore is under way. */
  readonly whileRestoring?: boolean;
  /** Reads the path; throws ServiceError. */
  readonly params: (raw: Readonly<Record<string, string | undefined>>) => Params;
}

/** One operation of the REST surface that answers in one piece, once it is known who may call it. */
export interface AnsweringRoute<Params, Query, Body> extends RouteDeclaration {
  readonly operation: string;
  readonly query?: z.ZodType<Query>;
  readonly body?: z.ZodType<Body>;
  /** How the body is read; as JSON of a size that is enough for a key operation where absent. */
  readonly readBody?: BodyReader;
  /** Of a success; 200 where absent. */
  readonly status?: number;
  /** The response's body; undefined for none. */
  readonly handler: (input: {
    readonly params: Params;
    readonly query: Query;
    readonly body: Body;
    readonly context: RequestContext;
  }) => unknown;
}

/** An operation of the pool. */
export interface RouteDefinition<Params, Query, Body>
  extends RouteAccess<Params>, Omit<AnsweringRoute<Params, Query, Body>, keyof RouteDeclaration> {}

/** A key operation's largest value is 4 KiB-ish; a certificate chain or policy needs more; nothing needs 256 KiB. */
const BODY_LIMIT = 256 * 1024;

/** Adds a route of the pool. */
export function route<Params, Query = undefined, Body = undefined>(
  routes: Routes,
  definition: RouteDefinition<Params, Query, Body>,
): void {
  answeringRoute(routes, definition, (req, res) =>
    authorise(routes.services, definition, req, res),
  );
}

/**
 * Adds a route. The order of the steps is the promise: authorise before the body is read, record before the response.
 * @param admit lets a request in that may be
 */
export function answeringRoute<Params, Query, Body>(
  routes: Routes,
  definition: AnsweringRoute<Params, Query, Body>,
  admit: (req: Request, res: Response) => Promise<Admitted<Params>>,
): void {
  const { auditLog, cursors, tracing } = routes.services;
  const { operation, status = 200, readBody = createJsonReader(BODY_LIMIT) } = definition;
  const withDeclaredNames = definition.query && createNameReader(definition.query);
  declare(routes, definition, async (req, res) => {
    const { context, params } = await admit(req, res);
    const { audit } = context;
    const query =
      definition.query &&
      read(definition.query, withDeclaredNames?.(req.query as ParsedUrlQuery), 'query parameter');
    const list = query && listOf(operation, params, query);
    const opened = list && openCursor(cursors, list);
    const body =
      definition.body &&
      read(definition.body, await tracing.step('read body', () => readBody(req, res)), 'property');
    audit.succeedsWith(status);
    const response = await tracing.step('operation', () =>
      Promise.resolve(
        definition.handler({
          params,
          query: (opened ?? query) as Query,
          body: body as Body,
          context,
        }),
      ),
    );
    if (list !== undefined) sealLinks(cursors, list, response);
    // Nothing leaves before its record is durable; a change of state has committed with it already.
    if (!audit.isCommitted) {
      const sent = (response instanceof WithHeaders ? response.status : undefined) ?? status;
      await tracing.step('audit', () => auditLog.append(audit.finish({ status: sent })));
    }
    send(res, status, response);
  });
}

/** A request whose client is allowed what it asks for. */
interface Admitted<Params> {
  readonly context: RequestContext;
  readonly params: Params;
}

/** The first steps of every route of the pool but a public one: what is asked, whether the client may, and whether the pool serves it. */
export async function authorise<Params>(
  { authorizer, gate, tracing }: RouteServices,
  definition: RouteAccess<Params>,
  req: Request,
  res: Response,
): Promise<Admitted<Params>> {
  const context = contextOf(res);
  const { audit } = context;
  const { operation, action } = definition;
  audit.note({ operation, action });
  requireReadable(req.url);
  context.apiVersion = parseApiVersion(req.query['api-version']);
  const params = definition.params(req.params as Record<string, string | undefined>);
  const found = definition.scope(params);
  const scope = typeof found === 'string' ? found : await found;
  audit.note({ scope, keyName: definition.key?.(params) });
  await tracing.step('authorise', () => requireAllowed(authorizer, context, action, scope));
  // The directory is the tenant's: the network rules of one of its pools don't bind it.
  const address = req.baseUrl === '' ? req.socket.remoteAddress : undefined;
  if (!gate.isOpenTo(address)) await requireServed(gate, { ...definition, address });
  return { context, params };
}

/**
 * Allowed by what is remembered, or by what is read anew: nobody is refused by memory alone. So a grant holds from its
 * acknowledgement on, whichever process answers.
 */
export async function isAllowed(
  authorizer: Authorizer,
  context: RequestContext,
  action: Action,
  scope: Scope,
): Promise<boolean> {
  if (await authorizer.isAllowed(principalOf(context), action, scope)) return true;
  return authorizer.isAllowedNow(await refreshPrincipal(context), action, scope);
}

/** @throws ServiceError AccessDenied */
export async function requireAllowed(
  authorizer: Authorizer,
  context: RequestContext,
  action: Action,
  scope: Scope,
): Promise<void> {
  if (await isAllowed(authorizer, context, action, scope)) return;
  throw new ServiceError('AccessDenied', `Not authorized to access ${action} on ${scope}`);
}

/**
 * What is percent-encoded in a path and a query is UTF-8 (RFC 3986 §2.5), and without U+0000.
 * @throws ServiceError BadParameter
 */
export function requireReadable(url: string): void {
  if (!url.includes('%')) return;
  let decoded: string;
  try {
    decoded = decodeURIComponent(url);
  } catch (cause) {
    throw new ServiceError('BadParameter', 'The URL is not percent-encoded correctly.', { cause });
  }
  if (!isStorable(decoded))
    throw new ServiceError('BadParameter', `The decoded URL ${NOT_STORABLE}.`);
}

function read<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value ?? {});
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue?.path.join('.') ?? '';
  // The value itself is never repeated: it may be plaintext.
  throw new ServiceError(
    'BadParameter',
    path === ''
      ? 'The request body has an invalid form.'
      : `The ${what} ${path} has an invalid value: ${issue?.message ?? ''}`,
  );
}
