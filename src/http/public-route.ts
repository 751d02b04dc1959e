import type { Request } from 'express';
import { contextOf, type RequestContext } from './context.ts';
import { declare, type RouteDeclaration, type Routes } from './routes.ts';
import { send } from './send.ts';
import type { BodyReader } from './values/json-body.ts';

/** The response of a public route. */
export interface Reply {
  readonly status: number;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
  /** Why it is a refusal, for the audit log. */
  readonly refusal?: { readonly errorCode?: string; readonly reason?: string };
}

/** A route that anybody may call: it says so, and is about no key. */
interface PublicRouteDefinition extends RouteDeclaration {
  readonly action: 'public';
  readonly key: null;
  /** How the body is read; it isn't where absent. */
  readonly readBody?: BodyReader;
  readonly handler: (input: {
    /** Who calls isn't known: what a client has sent is all that there is. */
    readonly request: Request;
    readonly body: unknown;
    readonly context: RequestContext;
  }) => Reply | Promise<Reply>;
}

/** Adds a route that needs no credential. One that has an operation leaves a record, also where its body can't be read. */
export function publicRoute(routes: Routes, definition: PublicRouteDefinition): void {
  const { auditLog, refusals } = routes.services;
  const { operation, readBody, handler } = definition;
  declare(routes, definition, async (req, res) => {
    const context = contextOf(res);
    if (operation !== null) {
      context.audit.note({ operation });
      context.audited = true;
    }
    const body = await readBody?.(req, res);
    const { status, body: sent, headers, refusal } = await handler({ request: req, body, context });
    if (operation !== null) {
      const record = context.audit.finish({ status, ...refusal });
      if (status < 400 || refusals.admit(record)) await auditLog.append(record);
    }
    send(res, status, sent, Object.entries(headers ?? {}).flat());
  });
}
