import type { ManagedHsm } from '../../core/resources/managed-hsm.ts';
import type { ManagedHsmService } from '../../core/resources/managed-hsm-service.ts';
import { groupScope, managedHsmScope, subscriptionScope } from '../../core/resources/scope.ts';
import { parseArmFilter } from './arm-filter.ts';
import { ArmListQuery, serializeArmPage } from './arm-list.ts';
import { type ControlRoutes, controlRoute, rightsOf } from './control-route.ts';
import {
  GROUP,
  KEY_VAULT,
  managedHsmPath,
  readGroup,
  readSubscription,
  SUBSCRIPTION,
} from './resource-path.ts';

const TYPE = 'Microsoft.KeyVault/managedHSMs';
const READ = 'Microsoft.KeyVault/managedHSMs/read';

interface ListParams {
  readonly subscriptionId: string;
  readonly groupName?: string;
}
const scope = ({ subscriptionId, groupName }: ListParams) =>
  groupName === undefined
    ? subscriptionScope(subscriptionId)
    : groupScope(subscriptionId, groupName);

/** Resources of all types, of which there is one. */
export function addResourceListRoutes(control: ControlRoutes, hsms: ManagedHsmService): void {
  for (const [path, params] of [
    [SUBSCRIPTION, readSubscription],
    [GROUP, readGroup],
  ] as const) {
    controlRoute(control, {
      method: 'get',
      path: `${path}/resources`,
      operation: 'ResourceList',
      action: 'Microsoft.Resources/subscriptions/resources/read',
      provider: 'Microsoft.Resources',
      params: (raw): ListParams => params(raw),
      scope,
      isList: true,
      query: ArmListQuery,
      handler: async ({ params: { subscriptionId, groupName }, query, context }) => {
        const wanted = parseArmFilter(query.filter, ['resourceType', 'resourceGroup', 'name']);
        const rights = await rightsOf(control, context);
        const inGroup = groupName === undefined ? '' : `/resourceGroups/${groupName}`;
        return serializeArmPage(
          await hsms.list(subscriptionId, groupName ?? wanted.resourceGroup, query),
          { path: `/subscriptions/${subscriptionId}${inGroup}/resources`, context, query },
          (hsm) =>
            isSame(wanted.resourceType, TYPE) &&
            isSame(wanted.name, hsm.name) &&
            rights.isAllowed(READ, managedHsmScope(subscriptionId, hsm.groupName, hsm.name)),
          serializeResource,
        );
      },
    });

    // Clients that list Managed HSMs list vaults before them, and give up where that fails.
    controlRoute(control, {
      method: 'get',
      path: [`${path}${KEY_VAULT}/vaults`, `${path}${KEY_VAULT}/deletedVaults`],
      operation: 'VaultList',
      action: 'Microsoft.KeyVault/vaults/read',
      provider: 'Microsoft.KeyVault',
      params: (raw): ListParams => params(raw),
      scope,
      isList: true,
      handler: () => ({ value: [] }),
    });
  }
}

function isSame(wanted: string | undefined, found: string): boolean {
  return wanted === undefined || wanted.toLowerCase() === found.toLowerCase();
}

function serializeResource(hsm: ManagedHsm) {
  const { name, location, sku, tags } = hsm;
  return { id: managedHsmPath(hsm), name, type: TYPE, location, sku, tags };
}
