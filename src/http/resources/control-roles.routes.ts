import { z } from 'zod';
import { ServiceError } from '../../core/errors.ts';
import { normalisePrincipalId } from '../../core/access/role.ts';
import type { ControlRoleService } from '../../core/resources/control-role-service.ts';
import {
  type ControlScope,
  groupScope,
  managedHsmScope,
  subscriptionScope,
} from '../../core/resources/scope.ts';
import { refreshPrincipal } from '../context.ts';
import { WithHeaders } from '../send.ts';
import { optional } from '../values/optional.ts';
import { text } from '../values/text.ts';
import { parseArmFilter } from './arm-filter.ts';
import { ArmListQuery, serializeArmPage } from './arm-list.ts';
import {
  AUTHORIZATION,
  parseAssignmentFilter,
  serializeControlAssignment,
  serializeControlRole,
} from './control-roles.schema.ts';
import { type ControlRoutes, controlRoute } from './control-route.ts';
import {
  GROUP,
  MANAGED_HSM,
  readGroup,
  readManagedHsm,
  readSubscription,
  SUBSCRIPTION,
} from './resource-path.ts';

type RawParams = Readonly<Record<string, string | undefined>>;

/** The tenant's scope is an operator's: at its path, clients find the roles of the pool's data plane. */
const PLACES: readonly { path: string; scope: (raw: RawParams) => ControlScope }[] = [
  { path: SUBSCRIPTION, scope: (raw) => subscriptionScope(readSubscription(raw).subscriptionId) },
  {
    path: GROUP,
    scope: (raw) => {
      const { subscriptionId, groupName } = readGroup(raw);
      return groupScope(subscriptionId, groupName);
    },
  },
  {
    path: MANAGED_HSM,
    scope: (raw) => {
      const { subscriptionId, groupName, name } = readManagedHsm(raw);
      return managedHsmScope(subscriptionId, groupName, name);
    },
  },
];

const PutRequest = z.object({
  properties: z.object({
    roleDefinitionId: text(512),
    principalId: text(256),
    principalType: optional(text(64)),
  }),
});

/** Who holds what on the control plane. */
export function addControlRoleRoutes(control: ControlRoutes, roles: ControlRoleService): void {
  for (const place of PLACES) {
    const at = {
      provider: 'Microsoft.Authorization',
      params: (raw: RawParams) => ({ at: place.scope(raw), id: raw['id'] ?? '' }),
      scope: (params: { at: ControlScope }) => params.at,
    } as const;
    const definitions = `${place.path}${AUTHORIZATION}/roleDefinitions`;
    const assignments = `${place.path}${AUTHORIZATION}/roleAssignments`;

    controlRoute(control, {
      ...at,
      method: 'get',
      path: definitions,
      operation: 'ControlRoleDefinitionList',
      action: 'Microsoft.Authorization/roleDefinitions/read',
      query: ArmListQuery,
      handler: ({ params, query }) => {
        const { roleName, type } = parseArmFilter(query.filter, ['roleName', 'type']);
        return {
          value: roles.roles
            .filter((role) => roleName === undefined || role.roleName === roleName)
            .filter(() => type === undefined || type === 'BuiltInRole')
            .map((role) => serializeControlRole(role, params.at)),
        };
      },
    });

    controlRoute(control, {
      ...at,
      method: 'get',
      path: `${definitions}/:id`,
      operation: 'ControlRoleDefinitionGet',
      action: 'Microsoft.Authorization/roleDefinitions/read',
      handler: ({ params }) => {
        const role = roles.findRole(params.id);
        if (role !== undefined) return serializeControlRole(role, params.at);
        throw new ServiceError('RoleDefinitionNotFound', 'There is no such role here.');
      },
    });

    controlRoute(control, {
      ...at,
      method: 'get',
      path: assignments,
      operation: 'ControlRoleAssignmentList',
      action: 'Microsoft.Authorization/roleAssignments/read',
      query: ArmListQuery,
      handler: async ({ params, query, context }) => {
        const { principalId, below } = parseAssignmentFilter(query.filter);
        const page = await roles.list(
          {
            scope: params.at,
            below,
            ...(principalId !== undefined && { principalId: normalisePrincipalId(principalId) }),
          },
          query,
        );
        const path = `${params.at}${AUTHORIZATION}/roleAssignments`;
        return serializeArmPage(
          page,
          { path, context, query },
          () => true,
          serializeControlAssignment,
        );
      },
    });

    controlRoute(control, {
      ...at,
      method: 'get',
      path: `${assignments}/:id`,
      operation: 'ControlRoleAssignmentGet',
      action: 'Microsoft.Authorization/roleAssignments/read',
      handler: async ({ params }) =>
        serializeControlAssignment(await roles.get(params.id, params.at)),
    });

    controlRoute(control, {
      ...at,
      method: 'put',
      path: `${assignments}/:id`,
      operation: 'ControlRoleAssignmentCreate',
      action: 'Microsoft.Authorization/roleAssignments/write',
      body: PutRequest,
      status: 201,
      handler: async ({ params, body: { properties }, context }) => {
        const given = {
          roleId: properties.roleDefinitionId.split('/').at(-1) ?? '',
          principalId: properties.principalId,
        };
        const author = await refreshPrincipal(context);
        return serializeControlAssignment(
          await roles.assign(params.id, params.at, given, author, context.audit),
        );
      },
    });

    controlRoute(control, {
      ...at,
      method: 'delete',
      path: `${assignments}/:id`,
      operation: 'ControlRoleAssignmentDelete',
      action: 'Microsoft.Authorization/roleAssignments/delete',
      handler: async ({ params, context }) => {
        const author = await refreshPrincipal(context);
        const gone = await roles.revoke(params.id, params.at, author, context.audit);
        return gone === undefined
          ? new WithHeaders(undefined, [], 204)
          : serializeControlAssignment(gone);
      },
    });
  }
}
