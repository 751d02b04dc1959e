import type { RequireAssignee } from '../access/assignee.ts';
import type { Principal } from '../access/principal.ts';
import { parsePrincipalId } from '../access/role.ts';
import type { AuditedChange } from '../audit/record.ts';
import { ServiceError } from '../errors.ts';
import { parseGuid } from '../guid.ts';
import { actionsOf, type ControlAssignment, type ControlRole, givesAway } from './control-role.ts';
import type { ControlAssignmentStore, ControlAuthorizer } from './ports.ts';
import type { ControlScope } from './scope.ts';

export interface ControlRoleServiceParts {
  readonly roles: readonly ControlRole[];
  readonly assignments: ControlAssignmentStore;
  readonly authorizer: ControlAuthorizer;
  readonly requireAssignee: RequireAssignee;
  /** Who writes the directory can become any object of it that holds no more than itself. */
  readonly mayWriteDirectory: (principal: Principal) => Promise<boolean>;
}

export type ControlRoleService = ReturnType<typeof createControlRoleService>;

/** Who holds what on the control plane. */
export function createControlRoleService(parts: ControlRoleServiceParts) {
  const { roles, assignments, authorizer, requireAssignee, mayWriteDirectory } = parts;

  async function requireHoldsAll(author: Principal, role: ControlRole, scope: ControlScope) {
    const rights = await authorizer.rightsOf(author);
    if (actionsOf(role).every((action) => rights.isAllowed(action, scope))) return;
    throw new ServiceError(
      'AuthorizationFailed',
      `Only who holds all that the role ${role.roleName} holds can do this at ${scope}.`,
    );
  }

  return {
    roles,

    findRole: (id: string) => roles.find((role) => role.id === id.toLowerCase()),
    list: (...asked: Parameters<ControlAssignmentStore['list']>) => assignments.list(...asked),

    /** @throws ServiceError RoleAssignmentNotFound */
    async get(id: string, scope: ControlScope): Promise<ControlAssignment> {
      const found = await assignments.find(id.toLowerCase());
      if (found?.scope === scope) return found;
      throw new ServiceError('RoleAssignmentNotFound', `The role assignment '${id}' is not found.`);
    },

    /**
     * Nobody gives more than it holds itself: to itself, to a group that it is in, to what it may become by way of the
     * directory; and nobody gives away the right to give.
     * @throws ServiceError AuthorizationFailed, BadParameter, RoleAssignmentExists
     */
    async assign(
      id: string,
      scope: ControlScope,
      given: { readonly roleId: string; readonly principalId: string },
      author: Principal,
      change: AuditedChange,
    ): Promise<ControlAssignment> {
      const role = roles.find((known) => known.id === given.roleId.toLowerCase());
      if (role === undefined)
        throw new ServiceError('RoleDefinitionNotFound', 'There is no such role here.');
      const principalId = parsePrincipalId(given.principalId);
      await requireAssignee(principalId);
      const own = [author.objectId, ...(author.alsoKnownAs ?? []), ...author.groups];
      if (
        givesAway(role) ||
        own.includes(principalId) ||
        author.hasUnknownGroups === true ||
        (await mayWriteDirectory(author))
      )
        await requireHoldsAll(author, role, scope);
      const assignment = {
        id: parseGuid('The name of a role assignment', id),
        principalId,
        roleId: role.id,
        scope,
      };
      change.note({ change: { after: assignment } });
      await assignments.insert(assignment, change);
      return assignment;
    },

    /**
     * Takes it away: what gives the right to give, only by who holds all of it, or from oneself.
     * @returns undefined where there is none
     * @throws ServiceError AuthorizationFailed
     */
    async revoke(
      id: string,
      scope: ControlScope,
      author: Principal,
      change: AuditedChange,
    ): Promise<ControlAssignment | undefined> {
      const found = await assignments.find(id.toLowerCase());
      if (found?.scope !== scope) return undefined;
      const role = roles.find((known) => known.id === found.roleId);
      if (role !== undefined && givesAway(role) && found.principalId !== author.objectId)
        await requireHoldsAll(author, role, scope);
      change.note({ change: { before: found } });
      await assignments.delete(found.id, change);
      return found;
    },
  };
}
