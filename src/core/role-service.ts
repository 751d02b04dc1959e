import { type AuditedChange } from './audit.ts';
import { ServiceError } from './errors.ts';
import { type Page, type PageRequest, type PolicyReader, type RoleStore } from './ports.ts';
import { type Principal } from './principal.ts';
import {
  ADMINISTRATOR_ROLE,
  isGuid,
  parseGuid,
  type RoleAssignment,
  type RoleDefinition,
  type Scope,
} from './role.ts';

/** The last part of an ARM-shaped role definition id, or the bare GUID. */
const ROLE_DEFINITION_ID = /^(?:.*\/)?([0-9a-fA-F-]{36})$/;
/** Object ids are GUIDs in Entra ID; other issuers name principals in other ways, which all fit this. */
const PRINCIPAL_ID = /^[0-9A-Za-z][0-9A-Za-z._:@|-]{0,127}$/;

export interface RequestedAssignment {
  readonly roleDefinitionId: string;
  readonly principalId: string;
}

export type AssignmentFilter =
  | { readonly kind: 'none' }
  | { readonly kind: 'atScope' }
  | { readonly kind: 'principal'; readonly principalId: string };

export interface RoleServiceParts {
  readonly roles: RoleStore;
  readonly policies: PolicyReader;
}

export type RoleService = ReturnType<typeof createRoleService>;

/** Role definitions and assignments. Whether the caller may read or write assignments at the scope is decided before. */
export function createRoleService({ roles, policies }: RoleServiceParts) {
  async function definition(id: string): Promise<RoleDefinition> {
    const found = await roles.findDefinition(id);
    if (found === undefined)
      throw new ServiceError('RoleDefinitionNotFound', 'Requested role definition not found');
    return found;
  }

  /**
   * No way up. A role that holds control over the pool is granted by an Administrator of the whole pool only, and nobody
   * below Administrator grants anything to itself or to a group it is in; so writing assignments can't become more.
   */
  async function requireMayGrant(
    caller: Principal,
    role: RoleDefinition,
    principalId: string,
  ): Promise<void> {
    const callerIds = [caller.objectId, ...caller.groups];
    const grantsSelf = callerIds.includes(principalId);
    if (!grantsSelf && !role.dataActions.some(isControlAction)) return;
    const { assignments } = await policies.policyOf(callerIds);
    const isAdministrator = assignments.some(
      (held) => held.roleDefinitionId === ADMINISTRATOR_ROLE && held.scope === '/',
    );
    if (isAdministrator) return;
    throw new ServiceError(
      'AccessDenied',
      grantsSelf
        ? 'Only a Managed HSM Administrator at / can make a role assignment for itself or for a group that it is in.'
        : `Only a Managed HSM Administrator at / can assign the role ${role.roleName}, which holds control over the pool.`,
    );
  }

  return {
    listDefinitions(): Promise<readonly RoleDefinition[]> {
      return roles.listDefinitions();
    },

    /** @throws ServiceError BadParameter, RoleDefinitionNotFound */
    getDefinition(id: string): Promise<RoleDefinition> {
      return definition(parseGuid('Role definition name', id));
    },

    /** At or above the scope; with a principal: at, above or below it. Listing the pool shows assignments of all keys too. */
    listAssignments(
      scope: Scope,
      filter: AssignmentFilter,
      page: PageRequest,
    ): Promise<Page<RoleAssignment>> {
      switch (filter.kind) {
        case 'principal':
          return roles.listAssignments(
            { scope, above: true, below: true, principalId: filter.principalId },
            page,
          );
        case 'atScope':
          return roles.listAssignments({ scope, above: true, below: false }, page);
        case 'none':
          return roles.listAssignments(
            { scope: scope === '/' ? '/keys' : scope, above: true, below: false },
            page,
          );
      }
    },

    /** @throws ServiceError BadParameter, RoleAssignmentNotFound */
    async getAssignment(id: string, scope: Scope): Promise<RoleAssignment> {
      const found = await roles.findAssignment(parseGuid('Role assignment name', id), scope);
      if (found === undefined) throw assignmentNotFound();
      return found;
    },

    /** The same assignment again is no error. @throws ServiceError BadParameter, RoleDefinitionNotFound, RoleAssignmentExists, AccessDenied */
    async putAssignment(
      caller: Principal,
      id: string,
      scope: Scope,
      requested: RequestedAssignment,
      change: AuditedChange,
    ): Promise<RoleAssignment> {
      const roleId = ROLE_DEFINITION_ID.exec(requested.roleDefinitionId)?.[1] ?? '';
      const role = await definition(parseGuid('Property roleDefinitionId', roleId));
      const assignment: RoleAssignment = {
        id: parseGuid('Role assignment name', id),
        principalId: parsePrincipalId(requested.principalId),
        roleDefinitionId: role.id,
        scope,
      };
      await requireMayGrant(caller, role, assignment.principalId);
      change.note({ change: { after: { ...assignment, roleName: role.roleName } } });
      await roles.insertAssignment(assignment, change);
      return assignment;
    },

    /** @throws ServiceError BadParameter, RoleAssignmentNotFound, LastAdministrator */
    async deleteAssignment(
      id: string,
      scope: Scope,
      change: AuditedChange,
    ): Promise<RoleAssignment> {
      const guid = parseGuid('Role assignment name', id);
      const before = await roles.findAssignment(guid, scope);
      if (before === undefined) throw assignmentNotFound();
      change.note({ change: { before } });
      const removed = await roles.deleteAssignment(guid, scope, change);
      if (removed === undefined) throw assignmentNotFound();
      return removed;
    },
  };
}

function parsePrincipalId(text: string): string {
  if (!PRINCIPAL_ID.test(text))
    throw new ServiceError('BadParameter', 'Property principalId has an invalid value.');
  return isGuid(text) ? text.toLowerCase() : text;
}

function assignmentNotFound(): ServiceError {
  return new ServiceError('RoleAssignmentNotFound', 'Requested role assignment not found');
}

const CONTROL = [
  // A wildcard may stand for any of the others.
  /\*/,
  /\/role(Definitions|Assignments)\/(write|delete)\//,
  /\/securitydomain\//,
  /\/managedHsm\/(backup|restore)\//,
  /\/settings\/write\//,
  /^Strongroom\/directory\/write\//,
];

/** Actions that decide over the pool itself: who may what, its backups, its security domain, settings and directory. */
function isControlAction(action: string): boolean {
  return CONTROL.some((pattern) => pattern.test(action));
}
