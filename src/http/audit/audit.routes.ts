import { z } from 'zod';
import type { RecordFormats } from '../../core/audit/record.ts';
import { ServiceError } from '../../core/errors.ts';
import type { AuditReader } from '../../core/audit/ports.ts';
import type { AuditLogReader } from '../../core/audit/ports.ts';
import type { LogVerifier } from '../../core/audit/verification/log-verification.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import { dateTime } from '../values/date-time.ts';
import { pageQuery, serializePage } from '../values/paging.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';
import { Lines } from '../send.ts';
import { oneOf, text } from '../values/text.ts';

/** Events on a page, at most; fewer with maxresults. */
const PAGE_LIMIT = 1000;

const date = dateTime.optional();

const EventsQuery = z
  .object({
    from: date,
    to: date,
    principalId: text(128).optional(),
    keyName: text(127).optional(),
    operation: text(64).optional(),
    action: text(128).optional(),
    outcome: oneOf(['success', 'failure']).optional(),
    format: oneOf(['strongroom', 'azure']).optional(),
  })
  .and(pageQuery(PAGE_LIMIT));

export interface AuditParts {
  readonly events: AuditReader;
  readonly auditLog: Pick<AuditLogReader, 'listCheckpoints'>;
  readonly verifier: LogVerifier;
  readonly formats: RecordFormats;
}

const CheckpointsQuery = pageQuery(PAGE_LIMIT);
/** A verification in one request ends early after so many records, and says where to go on. */
const VERIFIED_AT_ONCE = 100_000;
const VerifyBody = z.object({
  after: z.int().min(0).optional(),
  from: date,
  to: date,
  checkpoint: text(8192).optional(),
  afterRow: text(8192).optional(),
});

/**
 * Who used which key, and when: newest first; `from` (included) and `to` (excluded) are RFC 3339 times. `format=azure` gives
 * records as Managed HSM's diagnostic logs have them; who accepts application/x-ndjson gets one a line.
 */
export function addAuditRoutes(
  routes: Routes,
  { events, auditLog, verifier, formats }: AuditParts,
): void {
  route(routes, {
    method: 'get',
    path: '/audit/events',
    operation: 'AuditEventList',
    keyMaterial: 'none',
    action: 'Strongroom/audit/read/action',
    params: () => ({}),
    scope: () => '/',
    key: null,
    query: EventsQuery,
    handler: async ({ query, context }) => {
      const { limit, after, format, ...filter } = query;
      const page = withoutUndefined({ limit, after });
      const { from, to, ...rest } = filter;
      const { nextLink, value } = serializePage(
        await events.listEvents(withoutUndefined(filter), page),
        `https://${context.host.authority}/audit/events`,
        {
          ...rest,
          from: from?.toISOString(),
          to: to?.toISOString(),
          format,
          maxresults: limit,
        },
        formats[format ?? 'strongroom'],
      );
      return context.accept?.includes('application/x-ndjson') === true
        ? new Lines(value, nextLink)
        : { nextLink, value };
    },
  });

  // To be kept elsewhere: whoever can change the whole database can't change what others have kept.
  route(routes, {
    method: 'get',
    path: '/audit/checkpoints',
    operation: 'AuditCheckpointList',
    keyMaterial: 'none',
    action: 'Strongroom/audit/read/action',
    params: () => ({}),
    scope: () => '/',
    key: null,
    query: CheckpointsQuery,
    handler: async ({ query, context }) => {
      const after = Number(query.after ?? 0);
      const found = await auditLog.listCheckpoints({ after, limit: query.limit + 1 });
      const items = found.slice(0, query.limit);
      const last = items.at(-1);
      const isMore = found.length > items.length && last !== undefined;
      return serializePage(
        { items, ...(isMore && { next: String(last.number) }) },
        `https://${context.host.authority}/audit/checkpoints`,
        { maxresults: query.limit },
        ({ number, time, jws: statement }) => ({ number, time: time.toISOString(), statement }),
      );
    },
  });

  // One at a time: it reads as much as it is let.
  let isVerifying = false;
  route(routes, {
    method: 'post',
    path: '/audit/verify',
    operation: 'AuditVerify',
    keyMaterial: 'none',
    action: 'Strongroom/audit/read/action',
    params: () => ({}),
    scope: () => '/',
    key: null,
    body: VerifyBody,
    handler: async ({ body }) => {
      const { from, to, checkpoint, afterRow } = body;
      if (isVerifying) throw new ServiceError('Overloaded', 'A verification is under way.');
      isVerifying = true;
      try {
        const after = body.after ?? (from === undefined ? 0 : await verifier.startAt(from));
        const given = withoutUndefined({ to, known: checkpoint, afterRow });
        return await verifier.verify({ after, recordLimit: VERIFIED_AT_ONCE, ...given });
      } finally {
        isVerifying = false;
      }
    },
  });
}
