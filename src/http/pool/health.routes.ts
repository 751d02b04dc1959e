import { type RequestHandler, type Router } from 'express';
import { send } from '../send.ts';

/** What could serve a request now. */
export interface ReadinessReport {
  /** Each part's name, and whether it could. */
  readonly parts: Readonly<Record<string, boolean>>;
  /** A sentence for the operator, where a part can't however long one waits. */
  readonly reason?: string;
}

export type Readiness = () => Promise<ReadinessReport>;

const ALLOW = ['Allow', 'GET, HEAD, OPTIONS'];

/**
 * For load balancers and people: whether the process lives, and whether it could serve, with the part that couldn't. OPTIONS
 * is answered alike, since it is what HAProxy's `option httpchk <path>` sends.
 */
export function addHealthRoutes(router: Router, readiness: Readiness): void {
  const alive: RequestHandler = (_req, res) => {
    send(res, 200, { status: 'alive' }, ALLOW);
  };
  const ready: RequestHandler = async (_req, res) => {
    const report = await readiness();
    const isReady = Object.values(report.parts).every(Boolean);
    send(res, isReady ? 200 : 503, { ...report, status: isReady ? 'ready' : 'not ready' }, ALLOW);
  };
  router.route('/healthz').get(alive).options(alive);
  router.route('/readyz').get(ready).options(ready);
}
