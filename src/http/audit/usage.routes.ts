import { z } from 'zod';
import type { UsageReader } from '../../core/audit/usage.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import { dateTime } from '../values/date-time.ts';
import { pageQuery, serializePage } from '../values/paging.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';
import { oneOf, text } from '../values/text.ts';

const PAGE_LIMIT = 1000;

const UsageQuery = z
  .object({
    period: oneOf(['hour', 'day']).default('day'),
    from: dateTime.optional(),
    to: dateTime.optional(),
    keyName: text(127).optional(),
    principalId: text(128).optional(),
    operation: text(64).optional(),
  })
  .and(pageQuery(PAGE_LIMIT));
const SinceQuery = z.object({ since: dateTime }).and(pageQuery(PAGE_LIMIT));
const BeforeQuery = z.object({ before: dateTime }).and(pageQuery(PAGE_LIMIT));

/** How keys are used: counts by hour or day (UTC), keys that nobody uses, and keys that are about to expire. */
export function addUsageRoutes(routes: Routes, usage: UsageReader): void {
  const common = {
    method: 'get',
    action: 'Strongroom/audit/read/action',
    params: () => ({}),
    scope: () => '/' as const,
    key: null,
  } as const;

  route(routes, {
    ...common,
    path: '/audit/usage',
    operation: 'AuditUsageList',
    keyMaterial: 'none',
    query: UsageQuery,
    handler: async ({ query, context }) => {
      const { limit, after, period, from, to, ...rest } = query;
      const filter = withoutUndefined({ ...rest, from, to });
      return serializePage(
        await usage.listUsage({ period, ...filter }, page(limit, after)),
        `https://${context.host.authority}/audit/usage`,
        {
          ...rest,
          period,
          from: from?.toISOString(),
          to: to?.toISOString(),
          maxresults: limit,
        },
        ({ start, lastAt, ...counts }) => ({
          ...counts,
          start: start.toISOString(),
          lastAt: lastAt.toISOString(),
        }),
      );
    },
  });

  route(routes, {
    ...common,
    path: '/audit/unused-keys',
    operation: 'AuditUnusedKeyList',
    keyMaterial: 'none',
    query: SinceQuery,
    handler: async ({ query: { since, limit, after }, context }) =>
      serializePage(
        await usage.listUnusedKeys(since, page(limit, after)),
        `https://${context.host.authority}/audit/unused-keys`,
        { since: since.toISOString(), maxresults: limit },
        ({ keyName, lastUsedAt }) => ({ keyName, lastUsedAt: lastUsedAt?.toISOString() ?? null }),
      ),
  });

  route(routes, {
    ...common,
    path: '/audit/expiring-keys',
    operation: 'AuditExpiringKeyList',
    keyMaterial: 'none',
    query: BeforeQuery,
    handler: async ({ query: { before, limit, after }, context }) =>
      serializePage(
        await usage.listExpiringKeys(before, page(limit, after)),
        `https://${context.host.authority}/audit/expiring-keys`,
        { before: before.toISOString(), maxresults: limit },
        ({ expiresAt, ...key }) => ({ ...key, expiresAt: expiresAt.toISOString() }),
      ),
  });
}

function page(limit: number, after: string | undefined) {
  return withoutUndefined({ limit, after });
}
