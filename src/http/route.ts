import { type RequestHandler, type Router } from 'express';
import { type z } from 'zod';
import { type Action } from '../core/access/actions.ts';
import { type AuthoredChange } from '../core/access/authored-change.ts';
import { ServiceError } from '../core/errors.ts';
import { type Authorizer } from '../core/access/ports.ts';
import { type AuditLog } from '../core/audit/ports.ts';
import { type Scope } from '../core/access/role.ts';
import { isStorable, NOT_STORABLE } from '../core/storable-text.ts';
import { type Tracing } from '../core/tracing.ts';
import { parseApiVersion } from './api-version.ts';
import { requireAllowed } from './access/authorisation.ts';
import { contextOf, type RequestContext } from './context.ts';
import { type Cursors } from './values/cursors.ts';
import { type BodyReader, createJsonReader } from './values/json-body.ts';
import { NextLink } from './values/paging.ts';
import { send } from './send.ts';

/** What every route needs, the same for all of them. */
export interface RouteServices {
  readonly authorizer: Authorizer;
  readonly auditLog: AuditLog;
  readonly tracing: Tracing;
  /** The request's change of roles or of the directory: stores take none without its author. */
  readonly authored: (context: RequestContext) => Promise<AuthoredChange>;
  readonly cursors: Cursors;
}

/**
 * One operation of the REST surface. `action`, `scope` and `key` have no default: a route that forgets who may call it, or
 * which key it is about, does not compile.
 */
export interface RouteDefinition<Params, Query, Body> {
  readonly method: 'get' | 'put' | 'post' | 'patch' | 'delete';
  readonly path: string | readonly string[];
  /** Its name in the audit log. */
  readonly operation: string;
  readonly action: Action;
  readonly scope: (params: Params) => Scope;
  /** The name of the key that it is about, for the audit log and the counts of use; null where it is about none. */
  readonly key: ((params: Params) => string) | null;
  /** Reads the path; throws ServiceError. */
  readonly params: (raw: Readonly<Record<string, string | undefined>>) => Params;
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

/** A key operation's largest value is 4 KiB-ish; a certificate chain or policy needs more; nothing needs 256 KiB. */
const BODY_LIMIT = 256 * 1024;

/** The one way to add a route. The order of the steps is the promise: authorise before the body is read. */
export function route<Params, Query = undefined, Body = undefined>(
  router: Router,
  services: RouteServices,
  definition: RouteDefinition<Params, Query, Body>,
): void {
  const { method, action, operation } = definition;
  const { readBody = createJsonReader(BODY_LIMIT) } = definition;
  const handle: RequestHandler = async (req, res) => {
    const context = contextOf(res);
    const { audit } = context;
    audit.note({ operation, action });
    requireReadable(req.url);
    context.apiVersion = parseApiVersion(req.query['api-version']);
    const params = definition.params(req.params as Record<string, string | undefined>);
    const scope = definition.scope(params);
    audit.note({ scope, keyName: definition.key?.(params) });
    const { tracing } = services;
    await tracing.step('authorise', () =>
      requireAllowed(services.authorizer, context, action, scope),
    );
    const query = definition.query && read(definition.query, req.query, 'query parameter');
    const list = query && listOf(operation, params, query);
    const opened = list && openCursor(services.cursors, list);
    const body =
      definition.body &&
      read(definition.body, await tracing.step('read body', () => readBody(req, res)), 'property');
    const status = definition.status ?? 200;
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
    if (list !== undefined) sealLinks(services.cursors, list, response);
    // Nothing leaves before its record is durable; a change of state has committed with it already.
    if (!audit.isCommitted)
      await tracing.step('audit', () => services.auditLog.append(audit.finish({ status })));
    send(res, status, response);
  };
  // What was declared stays with it: who lists the routes finds what each takes.
  router[method](definition.path as string[], Object.assign(handle, { definition }));
}

/**
 * What is percent-encoded in a path and a query is UTF-8 (RFC 3986 §2.5), and without U+0000.
 * @throws ServiceError BadParameter
 */
function requireReadable(url: string): void {
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

/** A list that goes page by page, as a cursor of it is bound to it: what is listed, where, and narrowed to what. */
interface List {
  readonly of: unknown;
  readonly query: { readonly after?: string };
}

function listOf(operation: string, params: unknown, query: unknown): List | undefined {
  if (typeof query !== 'object' || query === null || !('limit' in query)) return undefined;
  const filter = Object.entries(query).filter(([name]) => name !== 'limit' && name !== 'after');
  return { of: [operation, params, filter], query: query as List['query'] };
}

/** @throws ServiceError BadParameter */
function openCursor(cursors: Cursors, { of, query }: List): object {
  const { after } = query;
  if (after === undefined) return query;
  return { ...query, after: cursors.open(of, after, 'query parameter $skiptoken') };
}

function sealLinks(cursors: Cursors, { of }: List, response: unknown): void {
  for (const part of Object.values(response ?? {}))
    if (part instanceof NextLink) part.seal((place) => cursors.seal(of, place));
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
