import { effectiveActions, isControlAction } from './action-pattern.ts';
import { ServiceError } from './errors.ts';
import { type Clock, type PolicyAssignment, type PolicyReader } from './ports.ts';
import { type Principal } from './principal.ts';
import { ADMINISTRATOR_ROLE, type RoleDefinition } from './role.ts';

export interface AscentParts {
  readonly policies: PolicyReader;
  readonly clock: Clock;
}

export type Ascent = ReturnType<typeof createAscentRules>;

/**
 * No way up. Whoever may write assignments or definitions can't become more by it: what holds control over the pool is
 * granted, defined and changed only by an Administrator of the whole pool, and nobody below Administrator grants anything
 * to itself or to a group it is in, be it by an assignment or by writing a role that it holds.
 */
export function createAscentRules({ policies, clock }: AscentParts) {
  const idsOf = (caller: Principal) => [caller.objectId, ...caller.groups];

  async function heldBy(caller: Principal): Promise<readonly PolicyAssignment[]> {
    return (await policies.policyOf(idsOf(caller))).assignments;
  }

  function isAdministrator(held: readonly PolicyAssignment[]): boolean {
    const now = clock.now().getTime() / 1000;
    return held.some(
      ({ roleDefinitionId, scope, expiresOn }) =>
        roleDefinitionId === ADMINISTRATOR_ROLE &&
        scope === '/' &&
        (expiresOn === undefined || now < expiresOn),
    );
  }

  return {
    /** @throws ServiceError AccessDenied */
    async requireMayGrant(
      caller: Principal,
      role: RoleDefinition,
      principalId: string,
    ): Promise<void> {
      const grantsSelf = idsOf(caller).includes(principalId);
      if (!grantsSelf && !hasControl(role)) return;
      if (isAdministrator(await heldBy(caller))) return;
      throw refused(
        grantsSelf
          ? 'make a role assignment for itself or for a group that it is in'
          : `assign the role ${role.roleName}, which holds control over the pool`,
      );
    },

    /** Taking control away is control too; one's own may be given up. @throws ServiceError AccessDenied */
    async requireMayRevoke(
      caller: Principal,
      role: RoleDefinition | undefined,
      principalId: string,
    ): Promise<void> {
      if (role === undefined || !hasControl(role) || principalId === caller.objectId) return;
      if (isAdministrator(await heldBy(caller))) return;
      throw refused(
        `remove an assignment of the role ${role.roleName}, which holds control over the pool`,
      );
    },

    /**
     * Learns what the caller holds, and gives back the check of a role's writing, by its versions as it is and as it is to
     * be, which throws ServiceError AccessDenied.
     */
    async definingBy(
      caller: Principal,
    ): Promise<(id: string, versions: readonly RoleDefinition[]) => void> {
      const held = await heldBy(caller);
      return (id, versions) => {
        if (isAdministrator(held)) return;
        if (versions.some(hasControl))
          throw refused('write a role that holds control over the pool');
        // An assignment that ended may be renewed by somebody who doesn't know what has become of the role.
        if (held.some(({ roleDefinitionId }) => roleDefinitionId === id))
          throw refused('write a role that it holds itself, or a group that it is in');
      };
    },
  };
}

function hasControl({ permissions }: RoleDefinition): boolean {
  return [...effectiveActions(permissions)].some(isControlAction);
}

function refused(what: string): ServiceError {
  return new ServiceError('AccessDenied', `Only a Managed HSM Administrator at / can ${what}.`);
}
