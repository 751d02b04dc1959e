import { z } from 'zod';
import { ServiceError } from '../../core/errors.ts';
import {
  normalisePrincipalId,
  type RoleAssignment,
  type RoleDefinition,
} from '../../core/access/role.ts';
import type { AssignmentFilter } from '../../core/access/role-service.ts';
import { dateTime } from '../values/date-time.ts';
import { optional } from '../values/optional.ts';
import { text } from '../values/text.ts';

const DEFINITIONS = 'Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions';

export const PutAssignmentRequest = z.object({
  properties: z.object({
    roleDefinitionId: text(512),
    principalId: text(256),
    description: optional(text(1024)),
    /** RFC 3339. */
    expiresOn: optional(dateTime),
  }),
});

const texts = optional(z.array(text(256)));

export const DefinitionProperties = z.object({
  roleName: optional(text(512)),
  description: optional(text(1024)),
  type: optional(text(32)),
  permissions: optional(
    z.array(
      z.object({ actions: texts, notActions: texts, dataActions: texts, notDataActions: texts }),
    ),
  ),
  assignableScopes: texts,
});
export const PutDefinitionRequest = z.object({ properties: DefinitionProperties });

/** The one filter that Azure knows. @throws ServiceError BadParameter */
export function parseDefinitionFilter(given: string | undefined): { readonly below: boolean } {
  const filter = given?.trim() ?? '';
  if (filter === '') return { below: false };
  if (/^atScopeAndBelow\(\)$/i.test(filter)) return { below: true };
  throw new ServiceError(
    'BadParameter',
    'The query parameter $filter must be atScopeAndBelow() for role definitions.',
  );
}

const PRINCIPAL_FILTER = /^principalId\s+eq\s+'([^']{1,128})'$/i;

/** The two filters that Azure knows, and none. @throws ServiceError BadParameter */
export function parseAssignmentFilter(given: string | undefined): AssignmentFilter {
  const filter = given?.trim() ?? '';
  if (filter === '') return { kind: 'none' };
  if (/^atScope\(\)$/i.test(filter)) return { kind: 'atScope' };
  const principalId = PRINCIPAL_FILTER.exec(filter)?.[1];
  if (principalId !== undefined)
    return { kind: 'principal', principalId: normalisePrincipalId(principalId) };
  throw new ServiceError(
    'BadParameter',
    "The query parameter $filter must be atScope() or principalId eq '{id}'.",
  );
}

/** As Azure writes it; the id has no leading slash. */
export function serializeDefinition(definition: RoleDefinition) {
  return {
    id: `${DEFINITIONS}/${definition.id}`,
    name: definition.id,
    properties: {
      assignableScopes: definition.assignableScopes,
      description: definition.description,
      permissions: definition.permissions.map(({ dataActions, notDataActions }) => ({
        actions: [],
        dataActions,
        notActions: [],
        notDataActions,
      })),
      roleName: definition.roleName,
      type: definition.kind === 'built-in' ? 'AKVBuiltInRole' : 'CustomRole',
    },
    type: 'Microsoft.Authorization/roleDefinitions',
  };
}

/** As Azure writes it; the id begins with the scope. */
export function serializeAssignment(assignment: RoleAssignment) {
  const prefix = assignment.scope === '/' ? '' : assignment.scope;
  return {
    id: `${prefix}/providers/Microsoft.Authorization/roleAssignments/${assignment.id}`,
    name: assignment.id,
    properties: {
      description: assignment.description,
      expiresOn: serializeTime(assignment.expiresOn),
      principalId: assignment.principalId,
      roleDefinitionId: `${DEFINITIONS}/${assignment.roleDefinitionId}`,
      scope: assignment.scope,
    },
    type: 'Microsoft.Authorization/roleAssignments',
  };
}

/** RFC 3339, from seconds since 1970-01-01 UTC, where there is a time. */
export function serializeTime(seconds: number | undefined): string | undefined {
  return seconds === undefined ? undefined : new Date(seconds * 1000).toISOString();
}
