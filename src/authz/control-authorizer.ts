import { readFile } from 'node:fs/promises';
import { newEnforcer, newModelFromString } from 'casbin';
import type { Principal } from '../core/access/principal.ts';
import { packageFile } from '../core/package-file.ts';
import { actionsOf, type ControlRole } from '../core/resources/control-role.ts';
import type { ControlAssignmentStore, ControlAuthorizer } from '../core/resources/ports.ts';
import { coveringScopes } from '../core/resources/scope.ts';
import { CALLER, createPolicyAdapter } from './policy-adapter.ts';

const MODEL_FILE = packageFile('policies/control-plane/model.conf');

/**
 * Decides by Casbin what is done on the control plane. Its requests are few: the caller's lines are read for each of them,
 * and nothing is remembered.
 */
export async function createControlAuthorizer(
  assignments: Pick<ControlAssignmentStore, 'listOf'>,
  roles: readonly ControlRole[],
): Promise<ControlAuthorizer> {
  const modelText = await readFile(MODEL_FILE, 'utf8');
  const adapter = createPolicyAdapter();
  const permissions = roles.flatMap((role) =>
    actionsOf(role).map((action) => [role.id, action] as const),
  );
  return {
    async rightsOf({ objectId, groups }: Principal) {
      const held = await assignments.listOf([objectId, ...groups]);
      const enforcer = await newEnforcer(newModelFromString(modelText));
      enforcer.setAdapter(adapter);
      await enforcer.loadFilteredPolicy({
        permissions,
        assignments: held.map(({ roleId, scope }) => [CALLER, roleId, scope] as const),
      });
      return {
        isAllowed: (action, scope) =>
          coveringScopes(scope).some((covering) => enforcer.enforceSync(CALLER, covering, action)),
        holdsWithin: (scope) =>
          held.some((assignment) => coveringScopes(assignment.scope).includes(scope)),
      };
    },
  };
}
