import { ServiceError } from '../../core/errors.ts';
import type { ManagedHsmService } from '../../core/resources/managed-hsm-service.ts';
import type { ManagedHsmOperation } from '../../core/resources/operation.ts';
import { managedHsmScope, subscriptionScope } from '../../core/resources/scope.ts';
import { apiVersionOf, type RequestContext } from '../context.ts';
import { WithHeaders } from '../send.ts';
import { type ControlRoutes, controlRoute } from './control-route.ts';
import { KEY_VAULT, readSubscription, SUBSCRIPTION } from './resource-path.ts';

/** After which clients ask again; without it Azure's wait 30 seconds. */
const RETRY_AFTER_SECONDS = '1';

const RESULTS = `${KEY_VAULT}/locations/:location/managedHsmOperationResults/:operation`;

/**
 * The response to a request that begins an operation (202): pollers ask at its Location until that isn't 202 any more, and
 * take what they get there for the result. The address has an api-version, since Azure's JavaScript clients alone would
 * append one.
 */
export function begun(
  context: RequestContext,
  at: { readonly subscriptionId: string; readonly location: string; readonly operationId: string },
  body: object | undefined,
): WithHeaders {
  const path = `/subscriptions/${at.subscriptionId}${KEY_VAULT}/locations/${at.location}/managedHsmOperationResults/${at.operationId}`;
  const url = `https://${context.host.authority}${path}?api-version=${apiVersionOf(context).name}`;
  return new WithHeaders(body, ['Location', url, 'Retry-After', RETRY_AFTER_SECONDS], 202);
}

/** @param result of an operation that has ended well: the resource as it is then, or what says that it is over */
export function addOperationRoutes(
  control: ControlRoutes,
  hsms: Pick<ManagedHsmService, 'findOperation'>,
  result: (operation: ManagedHsmOperation, context: RequestContext) => Promise<object>,
): void {
  controlRoute(control, {
    method: 'get',
    path: `${SUBSCRIPTION}${RESULTS}`,
    operation: 'ManagedHsmOperationGet',
    action: 'Microsoft.KeyVault/locations/managedHsmOperationResults/read',
    provider: 'Microsoft.KeyVault',
    params: (raw) => ({
      ...readSubscription(raw),
      location: raw['location'] ?? '',
      operationId: raw['operation'] ?? '',
    }),
    // Whoever may begin one may follow it, though its address is the subscription's.
    scope: async ({ subscriptionId, operationId }) => {
      const operation = await hsms.findOperation(operationId);
      return operation?.subscriptionId === subscriptionId
        ? managedHsmScope(subscriptionId, operation.groupName, operation.name)
        : subscriptionScope(subscriptionId);
    },
    handler: async ({ params, context }) => {
      const operation = await hsms.findOperation(params.operationId);
      if (operation?.subscriptionId !== params.subscriptionId)
        throw new ServiceError('ResourceNotFound', 'There is no such operation.');
      const { outcome } = operation;
      if (outcome === undefined) return begun(context, params, { status: 'InProgress' });
      if (outcome !== 'succeeded') throw new ServiceError(outcome.code, outcome.message);
      return result(operation, context);
    },
  });
}
