import { ServiceError } from '../../core/errors.ts';
import type { GroupService } from '../../core/resources/group-service.ts';
import type { Subscription } from '../../core/resources/managed-hsm.ts';
import { subscriptionScope } from '../../core/resources/scope.ts';
import { type ControlRoutes, controlRoute, rightsOf } from './control-route.ts';
import { readSubscription, SUBSCRIPTION, type SubscriptionParams } from './resource-path.ts';

const RESOURCES = 'Microsoft.Resources';
const PROVIDERS = [
  { namespace: 'Microsoft.KeyVault', types: ['managedHSMs', 'deletedManagedHSMs'] },
  { namespace: RESOURCES, types: ['subscriptions', 'resourceGroups'] },
  { namespace: 'Microsoft.Authorization', types: ['roleAssignments', 'roleDefinitions'] },
];
/** Where resources are, for clients that choose from a list: a location is a name that is kept, and nothing more. */
const LOCATION = { name: 'local', displayName: 'Local' };
const API_VERSION = '2026-05-15';

/** Subscriptions, and what clients ask of each. */
export function addSubscriptionRoutes(
  control: ControlRoutes,
  groups: GroupService,
  tenantId: string,
): void {
  const scope = ({ subscriptionId }: SubscriptionParams) => subscriptionScope(subscriptionId);
  const present = (subscription: Subscription) => serializeSubscription(subscription, tenantId);

  controlRoute(control, {
    method: 'get',
    path: '/subscriptions',
    operation: 'SubscriptionList',
    action: 'Microsoft.Resources/subscriptions/read',
    provider: RESOURCES,
    params: () => ({}),
    scope: () => '/',
    isList: true,
    handler: async ({ context }) => {
      const rights = await rightsOf(control, context);
      const all = await groups.listSubscriptions();
      return {
        value: all
          .filter(
            ({ id }) =>
              rights.isAllowed('Microsoft.Resources/subscriptions/read', subscriptionScope(id)) ||
              rights.holdsWithin(subscriptionScope(id)),
          )
          .map(present),
      };
    },
  });

  controlRoute(control, {
    method: 'get',
    path: SUBSCRIPTION,
    operation: 'SubscriptionGet',
    action: 'Microsoft.Resources/subscriptions/read',
    provider: RESOURCES,
    params: readSubscription,
    scope,
    handler: async ({ params }) => present(await groups.getSubscription(params.subscriptionId)),
  });

  controlRoute(control, {
    method: 'get',
    path: `${SUBSCRIPTION}/locations`,
    operation: 'LocationList',
    action: 'Microsoft.Resources/subscriptions/locations/read',
    provider: RESOURCES,
    params: readSubscription,
    scope,
    handler: async ({ params: { subscriptionId } }) => {
      await groups.getSubscription(subscriptionId);
      const id = `/subscriptions/${subscriptionId}/locations/${LOCATION.name}`;
      const names = { ...LOCATION, regionalDisplayName: LOCATION.displayName };
      return { value: [{ id, subscriptionId, type: 'Region', ...names }] };
    },
  });

  controlRoute(control, {
    method: 'get',
    path: `${SUBSCRIPTION}/providers`,
    operation: 'ProviderList',
    action: 'Microsoft.Resources/subscriptions/providers/read',
    provider: RESOURCES,
    params: readSubscription,
    scope,
    handler: ({ params }) => ({
      value: PROVIDERS.map((provider) => serializeProvider(params, provider)),
    }),
  });

  // Whoever registers a provider finds it registered.
  controlRoute(control, {
    method: ['get', 'post'],
    path: [`${SUBSCRIPTION}/providers/:namespace`, `${SUBSCRIPTION}/providers/:namespace/register`],
    operation: 'ProviderGet',
    action: 'Microsoft.Resources/subscriptions/providers/read',
    provider: RESOURCES,
    params: (raw) => ({ ...readSubscription(raw), namespace: raw['namespace'] ?? '' }),
    scope,
    handler: ({ params }) => {
      const found = PROVIDERS.find(
        ({ namespace }) => namespace.toLowerCase() === params.namespace.toLowerCase(),
      );
      if (found !== undefined) return serializeProvider(params, found);
      throw new ServiceError(
        'ResourceNotFound',
        `The resource provider '${params.namespace}' is not here.`,
      );
    },
  });
}

function serializeSubscription({ id, displayName }: Subscription, tenantId: string) {
  return {
    id: `/subscriptions/${id}`,
    subscriptionId: id,
    tenantId,
    displayName,
    state: 'Enabled',
    subscriptionPolicies: {},
    authorizationSource: 'RoleBased',
    managedByTenants: [],
  };
}

function serializeProvider(
  { subscriptionId }: SubscriptionParams,
  { namespace, types }: (typeof PROVIDERS)[number],
) {
  return {
    id: `/subscriptions/${subscriptionId}/providers/${namespace}`,
    namespace,
    registrationState: 'Registered',
    registrationPolicy: 'RegistrationFree',
    resourceTypes: types.map((resourceType) => ({
      resourceType,
      locations: [LOCATION.displayName],
      apiVersions: [API_VERSION],
      capabilities: 'None',
    })),
  };
}
