import { z } from 'zod';
import type { HsmPlace, ManagedHsm } from '../../core/resources/managed-hsm.ts';
import type { HsmResult, ManagedHsmService } from '../../core/resources/managed-hsm-service.ts';
import { groupScope, managedHsmScope, subscriptionScope } from '../../core/resources/scope.ts';
import type { RequestContext } from '../context.ts';
import { WithHeaders } from '../send.ts';
import { text } from '../values/text.ts';
import { ArmListQuery, serializeArmPage } from './arm-list.ts';
import { type ControlRoutes, controlRoute, rightsOf } from './control-route.ts';
import { addOperationRoutes, begun } from './managed-hsm-operations.ts';
import {
  ManagedHsmRequest,
  readManagedHsmRequest,
  serializeManagedHsm,
} from './managed-hsms.schema.ts';
import {
  GROUP,
  KEY_VAULT,
  MANAGED_HSM,
  readGroup,
  readManagedHsm,
  readSubscription,
  SUBSCRIPTION,
} from './resource-path.ts';

const provider = 'Microsoft.KeyVault';
const READ = 'Microsoft.KeyVault/managedHSMs/read';

/** The tenant whose Managed HSMs they are. */
export interface HsmTenant {
  readonly tenantId: string;
  /** Parent domain of the pools. */
  readonly domain: string;
  /** Whether the tenant is called so, by its GUID or by its alias. */
  readonly isTenant: (tenant: string) => boolean;
}

export function addManagedHsmRoutes(
  control: ControlRoutes,
  hsms: ManagedHsmService,
  tenant: HsmTenant,
): void {
  const scope = ({ subscriptionId, groupName, name }: HsmPlace) =>
    managedHsmScope(subscriptionId, groupName, name);
  const around = (hsm: ManagedHsm, { host }: RequestContext) => {
    const { port } = new URL(`https://${host.authority}`);
    const uri = `https://${hsm.name.toLowerCase()}.${tenant.domain}${port === '' ? '' : `:${port}`}/`;
    return { tenantId: tenant.tenantId, uri };
  };
  const present = async (hsm: ManagedHsm, context: RequestContext) =>
    serializeManagedHsm(hsm, { ...around(hsm, context), isActive: await hsms.isActive(hsm) });
  const respond = async ({ hsm, operationId }: HsmResult, context: RequestContext) => {
    const body = await present(hsm, context);
    if (operationId === undefined) return body;
    return begun(context, { ...hsm, operationId }, body);
  };

  for (const [path, params] of [
    [SUBSCRIPTION, readSubscription],
    [GROUP, readGroup],
  ] as const)
    controlRoute(control, {
      method: 'get',
      path: `${path}${KEY_VAULT}/managedHSMs`,
      operation: 'ManagedHsmList',
      action: READ,
      provider,
      params: (raw): { subscriptionId: string; groupName?: string } => params(raw),
      scope: ({ subscriptionId, groupName }) =>
        groupName === undefined
          ? subscriptionScope(subscriptionId)
          : groupScope(subscriptionId, groupName),
      isList: true,
      query: ArmListQuery,
      handler: async ({ params: { subscriptionId, groupName }, query, context }) => {
        const rights = await rightsOf(control, context);
        const page = await hsms.list(subscriptionId, groupName, query);
        const inGroup = groupName === undefined ? '' : `/resourceGroups/${groupName}`;
        const list = `/subscriptions/${subscriptionId}${inGroup}${KEY_VAULT}/managedHSMs`;
        return serializeArmPage(
          page,
          { path: list, context, query },
          (hsm) => rights.isAllowed(READ, scope(hsm)),
          (hsm) => serializeManagedHsm(hsm, around(hsm, context)),
        );
      },
    });

  const one = { path: MANAGED_HSM, provider, params: readManagedHsm, scope } as const;

  controlRoute(control, {
    ...one,
    method: 'get',
    operation: 'ManagedHsmGet',
    action: READ,
    handler: async ({ params, context }) => present(await hsms.get(params), context),
  });

  controlRoute(control, {
    ...one,
    method: 'put',
    operation: 'ManagedHsmWrite',
    action: 'Microsoft.KeyVault/managedHSMs/write',
    body: ManagedHsmRequest,
    handler: async ({ params, body, context }) => {
      const written = readManagedHsmRequest(body, tenant.isTenant);
      return respond(await hsms.put(params, written, context.audit), context);
    },
  });

  controlRoute(control, {
    ...one,
    method: 'patch',
    operation: 'ManagedHsmUpdate',
    action: 'Microsoft.KeyVault/managedHSMs/write',
    body: ManagedHsmRequest,
    handler: async ({ params, body, context }) => {
      const written = readManagedHsmRequest(body, tenant.isTenant);
      return respond(await hsms.patch(params, written, context.audit), context);
    },
  });

  controlRoute(control, {
    ...one,
    method: 'delete',
    operation: 'ManagedHsmDelete',
    action: 'Microsoft.KeyVault/managedHSMs/delete',
    handler: async ({ params, context }) => {
      const known = await hsms.find(params);
      const done = await hsms.delete(params, context.audit);
      if (known === undefined || done === undefined) return new WithHeaders(undefined, [], 204);
      const { operationId } = done;
      return operationId && begun(context, { ...known, operationId }, undefined);
    },
  });

  controlRoute(control, {
    ...one,
    method: 'get',
    path: `${MANAGED_HSM}/regions`,
    operation: 'ManagedHsmRegionList',
    action: READ,
    handler: async ({ params }) => {
      const { location } = await hsms.get(params);
      return { value: [{ name: location, provisioningState: 'Succeeded', isPrimary: true }] };
    },
  });

  // There are none, and none can be made: who can reach a pool is decided by its network rules.
  controlRoute(control, {
    ...one,
    method: 'get',
    path: [`${MANAGED_HSM}/privateLinkResources`, `${MANAGED_HSM}/privateEndpointConnections`],
    operation: 'ManagedHsmPrivateEndpointList',
    action: READ,
    handler: async ({ params }) => {
      await hsms.get(params);
      return { value: [] };
    },
  });

  controlRoute(control, {
    method: 'post',
    path: `${SUBSCRIPTION}${KEY_VAULT}/checkMhsmNameAvailability`,
    operation: 'ManagedHsmNameCheck',
    action: 'Microsoft.KeyVault/checkMhsmNameAvailability/read',
    provider,
    params: readSubscription,
    scope: ({ subscriptionId }) => subscriptionScope(subscriptionId),
    body: z.object({ name: text(256) }),
    handler: ({ body: { name } }) => hsms.checkName(name),
  });

  addOperationRoutes(control, hsms, async (operation, context) => {
    const hsm = await hsms.find(operation);
    if (hsm === undefined) return { name: operation.id, status: 'Succeeded' };
    return present(hsm, context);
  });
}
