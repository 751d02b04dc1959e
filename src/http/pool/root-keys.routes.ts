import { action } from '../../core/access/actions.ts';
import type { RootKeyStore } from '../../core/recovery/root-keys/ports.ts';
import { reportRootKeys } from '../../core/recovery/root-keys/root-key-report.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';

/** Which root keys the pool has, and how far a rotation is. */
export function addRootKeyRoutes(routes: Routes, rootKeys: Pick<RootKeyStore, 'readState'>): void {
  route(routes, {
    method: 'get',
    path: '/root-keys',
    operation: 'RootKeysGet',
    keyMaterial: 'none',
    action: action('settings/read/action'),
    scope: () => '/' as const,
    key: null,
    params: () => ({}),
    handler: async () => reportRootKeys(await rootKeys.readState()),
  });
}
