import { effectiveActions } from './action-pattern.ts';
import type { RequireAssignee } from './assignee.ts';
import type { AuthoredChange } from './authored-change.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../clock.ts';
import type { Page, PageRequest } from '../paging.ts';
import type { RoleStore } from './ports.ts';
import {
  isWithin,
  parsePrincipalId,
  type RoleAssignment,
  type RoleDefinition,
  type Scope,
} from './role.ts';
import { parseGuid } from '../guid.ts';
import { parseRoleDefinition, type RequestedDefinition } from './role-definition.ts';

/** The last part of an ARM-shaped role definition id, or the bare GUID. */
const ROLE_DEFINITION_ID = /^(?:.*\/)?([0-9a-fA-F-]{36})$/;
const DESCRIPTION_LIMIT = 1024;

export interface RequestedAssignment {
  readonly roleDefinitionId: string;
  readonly principalId: string;
  readonly description?: string | undefined;
  readonly expiresOn?: Date | undefined;
}

export type AssignmentFilter =
  | { readonly kind: 'none' }
  | { readonly kind: 'atScope' }
  | { readonly kind: 'principal'; readonly principalId: string };

export interface RoleServiceParts {
  readonly roles: RoleStore;
  readonly requireAssignee: RequireAssignee;
  readonly clock: Clock;
}

export type RoleService = ReturnType<typeof createRoleService>;

/** Role definitions and assignments. Whether the caller may read or write them at the scope is decided before. */
export function createRoleService({ roles, requireAssignee, clock }: RoleServiceParts) {
  async function definition(id: string): Promise<RoleDefinition> {
    const found = await roles.findDefinition(id);
    if (found === undefined) throw definitionNotFound();
    return found;
  }

  /**
   * Roles are the pool's, also when they are written at a key: that takes a role which can be assigned there and below
   * only, before and after.
   */
  function requireDefinableAt(scope: Scope, versions: readonly RoleDefinition[]): void {
    if (versions.some(({ kind }) => kind === 'built-in'))
      throw new ServiceError(
        'BadParameter',
        'Cannot re-use the name/GUID matching that of a built-in role. Please use a unique role ID.',
      );
    if (versions.some((one) => one.assignableScopes.some((wide) => !isWithin(wide, scope))))
      throw new ServiceError(
        'AccessDenied',
        `A role that can be assigned outside of ${scope} cannot be written there.`,
      );
  }

  return {
    /** Those that can be assigned at the scope; with `below`: or below it. */
    async listDefinitions(
      scope: Scope,
      { below }: { readonly below: boolean },
      page: PageRequest,
    ): Promise<Page<RoleDefinition>> {
      const found = await roles.listDefinitions(page);
      const isShown = ({ assignableScopes }: RoleDefinition) =>
        assignableScopes.some((at) => isWithin(scope, at) || (below && isWithin(at, scope)));
      return { ...found, items: found.items.filter(isShown) };
    },

    /** @throws ServiceError BadParameter, RoleDefinitionNotFound */
    getDefinition(id: string): Promise<RoleDefinition> {
      return definition(parseGuid('Role definition name', id));
    },

    /** Makes or replaces a custom role. @throws ServiceError BadParameter, AccessDenied, RoleAssignedElsewhere */
    async putDefinition(
      id: string,
      scope: Scope,
      requested: RequestedDefinition,
      change: AuthoredChange,
    ): Promise<RoleDefinition> {
      const guid = parseGuid('Role definition name', id);
      const wanted = parseRoleDefinition(guid, requested);
      await roles.putDefinition(
        wanted,
        effectiveActions(wanted.permissions),
        (present) => {
          change.note({ change: { before: present, after: wanted } });
          requireDefinableAt(scope, present === undefined ? [wanted] : [present, wanted]);
        },
        change,
      );
      return wanted;
    },

    /** Its assignments stay in lists, and give nothing. @throws ServiceError BadParameter, RoleDefinitionNotFound, AccessDenied */
    async deleteDefinition(
      id: string,
      scope: Scope,
      change: AuthoredChange,
    ): Promise<RoleDefinition> {
      const guid = parseGuid('Role definition name', id);
      const removed = await roles.deleteDefinition(
        guid,
        (present) => {
          change.note({ change: { before: present } });
          requireDefinableAt(scope, [present]);
        },
        change,
      );
      if (removed === undefined) throw definitionNotFound();
      return removed;
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

    /**
     * The same assignment again is no error, and may change its description and its end.
     * @throws ServiceError BadParameter, RoleDefinitionNotFound, RoleAssignmentExists, LastAdministrator, AccessDenied
     */
    async putAssignment(
      id: string,
      scope: Scope,
      requested: RequestedAssignment,
      change: AuthoredChange,
    ): Promise<RoleAssignment> {
      const roleId = ROLE_DEFINITION_ID.exec(requested.roleDefinitionId)?.[1] ?? '';
      const role = await definition(parseGuid('Property roleDefinitionId', roleId));
      const now = Math.floor(clock.now().getTime() / 1000);
      const assignment: RoleAssignment = {
        id: parseGuid('Role assignment name', id),
        principalId: parsePrincipalId(requested.principalId),
        roleDefinitionId: role.id,
        scope,
        ...parseTerms(requested, now),
      };
      if (!role.assignableScopes.some((wide) => isWithin(scope, wide)))
        throw new ServiceError(
          'BadParameter',
          `The role ${role.roleName} cannot be assigned at ${scope}: its assignable scopes are ${role.assignableScopes.join(', ')}.`,
        );
      await requireAssignee(assignment.principalId);
      const before = await roles.findAssignment(assignment.id, scope);
      change.note({ change: { before, after: { ...assignment, roleName: role.roleName } } });
      await roles.putAssignment(assignment, now, change);
      return assignment;
    },

    /** @throws ServiceError BadParameter, RoleAssignmentNotFound, LastAdministrator, AccessDenied */
    async deleteAssignment(
      id: string,
      scope: Scope,
      change: AuthoredChange,
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

function parseTerms(
  { description, expiresOn }: RequestedAssignment,
  now: number,
): Pick<RoleAssignment, 'description' | 'expiresOn'> {
  if ((description?.length ?? 0) > DESCRIPTION_LIMIT)
    throw new ServiceError(
      'BadParameter',
      `Property description can have at most ${DESCRIPTION_LIMIT} characters.`,
    );
  const ends = expiresOn && Math.floor(expiresOn.getTime() / 1000);
  if (ends !== undefined && ends <= now)
    throw new ServiceError('BadParameter', 'Property expiresOn must be in the future.');
  return {
    ...(description !== undefined && { description }),
    ...(ends !== undefined && { expiresOn: ends }),
  };
}

function definitionNotFound(): ServiceError {
  return new ServiceError('RoleDefinitionNotFound', 'Requested role definition not found');
}

function assignmentNotFound(): ServiceError {
  return new ServiceError('RoleAssignmentNotFound', 'Requested role assignment not found');
}
