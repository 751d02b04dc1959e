import { type Router } from 'express';
import { send } from './send.ts';

/** What could serve a request now. */
export interface ReadinessReport {
  /** Each part's name, and whether it could. */
  readonly parts: Readonly<Record<string, boolean>>;
  /** A sentence for the operator, where a part can't however long one waits. */
  readonly reason?: string;
}

export type Readiness = () => Promise<ReadinessReport>;

/** For load balancers and people: whether the process lives, and whether it could serve, with the part that couldn't. */
export function addHealthRoutes(router: Router, readiness: Readiness): void {
  router.get('/healthz', (_req, res) => {
    send(res, 200, { status: 'alive' });
  });
  router.get('/readyz', async (_req, res) => {
    const report = await readiness();
    const ready = Object.values(report.parts).every(Boolean);
    send(res, ready ? 200 : 503, { ...report, status: ready ? 'ready' : 'not ready' });
  });
}
