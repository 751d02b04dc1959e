import { type Router } from 'express';
import { z } from 'zod';
import { type AuditEvent, type AuditFilter } from '../core/audit.ts';
import { type AuditReader } from '../core/ports.ts';
import { pageQuery, presentPage } from './paging.ts';
import { route, type RouteServices } from './route.ts';
import { text } from './text.ts';

/** Events on a page, at most; fewer with maxresults. */
const PAGE_LIMIT = 1000;

const date = z.iso
  .datetime({ offset: true })
  .transform((text) => new Date(text))
  .optional();

const EventsQuery = z
  .object({
    from: date,
    to: date,
    principalId: text(128).optional(),
    keyName: text(127).optional(),
    operation: text(64).optional(),
    outcome: z.enum(['success', 'failure']).optional(),
  })
  .and(pageQuery(PAGE_LIMIT));

/** Who used which key, and when: newest first; `from` (included) and `to` (excluded) are RFC 3339 times. */
export function addAuditRoutes(router: Router, services: RouteServices, events: AuditReader): void {
  route(router, services, {
    method: 'get',
    path: '/audit/events',
    operation: 'AuditEventList',
    action: 'Strongroom/audit/read/action',
    params: () => ({}),
    scope: () => '/',
    query: EventsQuery,
    handler: async ({ query, context }) => {
      const { limit, after, ...filter } = query;
      const page = { limit, ...(after !== undefined && { after }) };
      const { from, to, ...rest } = filter;
      return presentPage(
        await events.listEvents(present(filter), page),
        `https://${context.host.authority}/audit/events`,
        { ...rest, from: from?.toISOString(), to: to?.toISOString(), maxresults: limit },
        presentEvent,
      );
    },
  });
}

/** exactOptionalPropertyTypes: absent, rather than there and undefined. */
function present(filter: { [Name in keyof AuditFilter]?: AuditFilter[Name] | undefined }) {
  return Object.fromEntries(
    Object.entries(filter).filter(([, value]) => value !== undefined),
  ) as AuditFilter;
}

function presentEvent({ time, ...event }: AuditEvent) {
  return { ...event, time: time.toISOString() };
}
