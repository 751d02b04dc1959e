import type { Response } from 'express';
import type { AuditDraft } from '../core/audit/draft.ts';
import type { Principal } from '../core/access/principal.ts';
import type { ApiVersion } from './api-version.ts';
import type { RequestHost } from './server/hosts.ts';

/** What is known of one request while it is served. */
export interface RequestContext {
  readonly requestId: string;
  /** What the head of its response has in any case: names and values in turn. */
  readonly headers: readonly string[];
  /** Known once the request's target has been read. */
  host: RequestHost;
  /** process.hrtime-like milliseconds at which the request's head was read. */
  readonly startedAt: number;
  readonly audit: AuditDraft;
  /** What the client would have, as its Accept header says. */
  readonly accept: string | undefined;
  /** Whether a response, even a refusal, leaves a record: not for strangers without a credential, nor for public routes. */
  audited: boolean;
  principal: Principal | undefined;
  apiVersion: ApiVersion | undefined;
  /** Who the client is now; `isFresh` asks the directory, and not what is remembered of it. */
  authenticate: ((how?: { readonly isFresh: true }) => Promise<Principal>) | undefined;
}

export function contextOf(res: Response): RequestContext {
  return res.locals['context'] as RequestContext;
}

export function setContext(res: Response, context: RequestContext): void {
  res.locals['context'] = context;
}

/** The client by the directory as it is now: its groups may have changed since they were remembered. */
export async function refreshPrincipal(context: RequestContext): Promise<Principal> {
  context.principal = (await context.authenticate?.({ isFresh: true })) ?? principalOf(context);
  return context.principal;
}

/** For a request that lasts. @throws ServiceError Unauthenticated where the client's access has ended */
export async function authenticateAgain(context: RequestContext): Promise<void> {
  context.principal = (await context.authenticate?.()) ?? principalOf(context);
}

/** The client that the authentication step has put there. */
export function principalOf(context: RequestContext): Principal {
  if (context.principal === undefined) throw new Error('a route ran before authentication');
  return context.principal;
}

/** The version that the request asks for; its route has read it. */
export function apiVersionOf(context: RequestContext): ApiVersion {
  if (context.apiVersion === undefined) throw new Error('no route has read the api-version');
  return context.apiVersion;
}

/** What an operation finds out for the record of its request. */
export function recorder({ audit }: RequestContext) {
  return (notes: Parameters<typeof audit.note>[0]) => {
    audit.note(notes);
  };
}
