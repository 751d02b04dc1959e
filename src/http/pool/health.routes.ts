import { publicRoute } from '../public-route.ts';
import type { Routes } from '../routes.ts';

/** What could serve a request now. */
export interface ReadinessReport {
  /** Each part's name, and whether it could. */
  readonly parts: Readonly<Record<string, boolean>>;
  /** A sentence for the operator, where a part can't however long one waits. */
  readonly reason?: string;
}

export type Readiness = () => Promise<ReadinessReport>;

const probe = {
  method: ['get', 'options'],
  operation: null,
  action: 'public',
  key: null,
  keyMaterial: 'none',
} as const;
const headers = { Allow: 'GET, HEAD, OPTIONS' };

/**
 * For load balancers and operators: whether the process lives, and whether it could serve, with the part that couldn't.
 * OPTIONS is answered alike, since it is what HAProxy's `option httpchk <path>` sends.
 */
export function addHealthRoutes(routes: Routes, readiness: Readiness): void {
  publicRoute(routes, {
    ...probe,
    path: '/healthz',
    handler: () => ({ status: 200, body: { status: 'alive' }, headers }),
  });
  publicRoute(routes, {
    ...probe,
    path: '/readyz',
    handler: async () => {
      const report = await readiness();
      const isReady = Object.values(report.parts).every(Boolean);
      const body = { ...report, status: isReady ? 'ready' : 'not ready' };
      return { status: isReady ? 200 : 503, body, headers };
    },
  });
}
