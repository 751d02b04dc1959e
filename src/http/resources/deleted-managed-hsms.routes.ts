import type { ManagedHsmService } from '../../core/resources/managed-hsm-service.ts';
import { managedHsmScope, subscriptionScope } from '../../core/resources/scope.ts';
import { parseLocation } from '../../core/resources/names.ts';
import { ArmListQuery, serializeArmPage } from './arm-list.ts';
import { type ControlRoutes, controlRoute, rightsOf } from './control-route.ts';
import { begun } from './managed-hsm-operations.ts';
import { serializeDeleted } from './managed-hsms.schema.ts';
import { KEY_VAULT, readSubscription, SUBSCRIPTION } from './resource-path.ts';

const provider = 'Microsoft.KeyVault';
const LIST = 'Microsoft.KeyVault/deletedManagedHsms/read';
const DELETED = `${SUBSCRIPTION}${KEY_VAULT}/locations/:location/deletedManagedHSMs/:name`;

export function addDeletedManagedHsmRoutes(control: ControlRoutes, hsms: ManagedHsmService): void {
  controlRoute(control, {
    method: 'get',
    path: `${SUBSCRIPTION}${KEY_VAULT}/deletedManagedHSMs`,
    operation: 'DeletedManagedHsmList',
    action: LIST,
    provider,
    params: readSubscription,
    scope: ({ subscriptionId }) => subscriptionScope(subscriptionId),
    isList: true,
    query: ArmListQuery,
    handler: async ({ params: { subscriptionId }, query, context }) => {
      const rights = await rightsOf(control, context);
      const page = await hsms.listDeleted(subscriptionId, query);
      const path = `/subscriptions/${subscriptionId}${KEY_VAULT}/deletedManagedHSMs`;
      return serializeArmPage(
        page,
        { path, context, query },
        (hsm) => rights.isAllowed(LIST, managedHsmScope(subscriptionId, hsm.groupName, hsm.name)),
        serializeDeleted,
      );
    },
  });

  const one = {
    provider,
    params: (raw: Readonly<Record<string, string | undefined>>) => ({
      ...readSubscription(raw),
      location: parseLocation(raw['location'] ?? ''),
      name: raw['name'] ?? '',
    }),
    // Whoever may delete one sees to it afterwards, though its address is the subscription's.
    scope: async ({ subscriptionId, location, name }: DeletedPlace) => {
      const found = await hsms.findDeleted(subscriptionId, location, name);
      return found === undefined
        ? subscriptionScope(subscriptionId)
        : managedHsmScope(subscriptionId, found.groupName, found.name);
    },
  } as const;

  controlRoute(control, {
    ...one,
    method: 'get',
    path: DELETED,
    operation: 'DeletedManagedHsmGet',
    action: 'Microsoft.KeyVault/locations/deletedManagedHsms/read',
    handler: async ({ params: { subscriptionId, location, name } }) =>
      serializeDeleted(await hsms.getDeleted(subscriptionId, location, name)),
  });

  controlRoute(control, {
    ...one,
    method: 'post',
    path: `${DELETED}/purge`,
    operation: 'DeletedManagedHsmPurge',
    action: 'Microsoft.KeyVault/locations/deletedManagedHsms/purge/action',
    handler: async ({ params, context }) => {
      const { subscriptionId, location, name } = params;
      const { hsm, operationId = '' } = await hsms.purge(
        subscriptionId,
        location,
        name,
        context.audit,
      );
      return begun(context, { ...hsm, operationId }, undefined);
    },
  });
}

interface DeletedPlace {
  readonly subscriptionId: string;
  readonly location: string;
  readonly name: string;
}
