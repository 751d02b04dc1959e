import { action } from '../../core/access/actions.ts';
import type { RotationService } from '../../core/keys/rotation/rotation-service.ts';
import { keyNameOf, keyOf, keyScopeOf } from './key-params.ts';
import { type KeyFormatOf, serializeKey } from './keys.schema.ts';
import { serializeRotationPolicy, RotationPolicyRequest } from './rotation.schema.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';

/** Rotation of keys, on demand and by policy. */
export function addRotationRoutes(
  routes: Routes,
  rotation: RotationService,
  formatOf: KeyFormatOf,
): void {
  const common = { params: keyOf, scope: keyScopeOf, key: keyNameOf };
  const policyId = (origin: string, name: string) => `${origin}/keys/${name}/rotationpolicy`;

  route(routes, {
    ...common,
    method: 'post',
    path: '/keys/:name/rotate',
    operation: 'KeyRotate',
    keyMaterial: 'public',
    action: action('keys/rotate/action'),
    handler: async ({ params, context }) =>
      serializeKey(await rotation.rotate(params.name, context.audit), formatOf(context)),
  });

  route(routes, {
    ...common,
    method: 'get',
    path: '/keys/:name/rotationpolicy',
    operation: 'KeyRotationPolicyGet',
    keyMaterial: 'none',
    action: action('keys/read/action'),
    handler: async ({ params, context }) => {
      const { name, policy } = await rotation.getPolicy(params.name);
      context.audit.note({ keyName: name });
      return serializeRotationPolicy(policyId(formatOf(context).origin, name), policy);
    },
  });

  route(routes, {
    ...common,
    method: 'put',
    path: '/keys/:name/rotationpolicy',
    operation: 'KeyRotationPolicySet',
    keyMaterial: 'none',
    action: action('keys/write/action'),
    body: RotationPolicyRequest,
    handler: async ({ params, body, context }) => {
      const { name, policy } = await rotation.putPolicy(params.name, body, context.audit);
      return serializeRotationPolicy(policyId(formatOf(context).origin, name), policy);
    },
  });
}
