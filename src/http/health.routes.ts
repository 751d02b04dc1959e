import { type Router } from 'express';
import { send } from './send.ts';

/** Each part's name, and whether it could serve a request now. */
export type Readiness = () => Promise<Readonly<Record<string, boolean>>>;

/** For load balancers and people: whether the process lives, and whether it could serve, with the part that couldn't. */
export function addHealthRoutes(router: Router, readiness: Readiness): void {
  router.get('/healthz', (_req, res) => {
    send(res, 200, { status: 'alive' });
  });
  router.get('/readyz', async (_req, res) => {
    const parts = await readiness();
    const ready = Object.values(parts).every(Boolean);
    send(res, ready ? 200 : 503, { parts, status: ready ? 'ready' : 'not ready' });
  });
}
