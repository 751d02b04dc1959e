import { action } from '../../core/access/actions.ts';
import type { Replica } from '../../core/pool/replicas.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';

export interface ReplicaList {
  list(): Promise<readonly Replica[]>;
}

/** Which starts of the service serve the pool, and how each is. */
export function addReplicaRoutes(routes: Routes, replicas: ReplicaList): void {
  route(routes, {
    method: 'get',
    path: '/replicas',
    operation: 'ReplicasGet',
    keyMaterial: 'none',
    action: action('settings/read/action'),
    scope: () => '/' as const,
    key: null,
    params: () => ({}),
    handler: async () => ({ replicas: (await replicas.list()).map(serializeReplica) }),
  });
}

function serializeReplica({ startedAt, seenAt, ...known }: Replica) {
  return withoutUndefined({
    ...known,
    startedAt: startedAt.toISOString(),
    seenAt: seenAt.toISOString(),
  });
}
