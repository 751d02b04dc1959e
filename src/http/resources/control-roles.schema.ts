import type { ControlAssignment, ControlRole } from '../../core/resources/control-role.ts';
import type { ControlScope } from '../../core/resources/scope.ts';
import { parseArmFilter } from './arm-filter.ts';

export const AUTHORIZATION = '/providers/Microsoft.Authorization';

/**
 * `atScope()` leaves out what is below; clients join it with others, and name principals in two ways.
 * @throws ServiceError BadParameter
 */
export function parseAssignmentFilter(filter: string | undefined): {
  readonly below: boolean;
  readonly principalId: string | undefined;
} {
  const atScope = /(?:^| and )atScope\(\)(?=$| and )/i;
  const rest = filter
    ?.replace(atScope, '')
    .replace(/^ and /i, '')
    .replace(/\bassignedTo\('([^']*)'\)/i, "principalId eq '$1'");
  const { principalId } = parseArmFilter(rest === '' ? undefined : rest, ['principalId']);
  return { below: filter === undefined || !atScope.test(filter), principalId };
}

export function serializeControlRole(role: ControlRole, scope: ControlScope) {
  return {
    id: `${scope}${AUTHORIZATION}/roleDefinitions/${role.id}`,
    name: role.id,
    type: 'Microsoft.Authorization/roleDefinitions',
    properties: {
      roleName: role.roleName,
      type: 'BuiltInRole',
      description: role.description,
      assignableScopes: ['/'],
      permissions: [
        { actions: role.actions, notActions: role.notActions, dataActions: [], notDataActions: [] },
      ],
    },
  };
}

export function serializeControlAssignment({ id, principalId, roleId, scope }: ControlAssignment) {
  const prefix = scope === '/' ? '' : scope;
  return {
    id: `${prefix}${AUTHORIZATION}/roleAssignments/${id}`,
    name: id,
    type: 'Microsoft.Authorization/roleAssignments',
    properties: {
      principalId,
      roleDefinitionId: `${prefix}${AUTHORIZATION}/roleDefinitions/${roleId}`,
      scope,
    },
  };
}
