import { randomUUID } from 'node:crypto';
import { readControlRoles } from '../authz/control-roles.ts';
import { parsePrincipalId } from '../core/access/role.ts';
import { AuditDraft } from '../core/audit/draft.ts';
import { systemClock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import { OperatorError } from '../core/operator-error.ts';
import type { ControlAssignment } from '../core/resources/control-role.ts';
import type { Subscription } from '../core/resources/managed-hsm.ts';
import { parseControlScope } from '../core/resources/scope.ts';
import type { StoreContext } from '../store/database.ts';
import { createControlAssignmentStore } from '../store/resources/control-assignment-store.ts';
import { createGroupStore } from '../store/resources/group-store.ts';

/** The subscription that a tenant has at first. */
const FIRST_SUBSCRIPTION = 'Strongroom';

/** By whoever may start the service. */
function newChange(operation: string, after: object): AuditDraft {
  const draft = new AuditDraft(systemClock.now, { requestId: randomUUID(), operation });
  draft.note({ change: { after } });
  return draft;
}

export async function makeSubscription(
  context: StoreContext,
  displayName: string,
): Promise<Subscription> {
  const subscription = { id: randomUUID(), displayName };
  const change = newChange('SubscriptionCreate', subscription);
  await createGroupStore(context).insertSubscription(subscription, change);
  return subscription;
}

/**
 * Gives a role of the control plane, as an operator decides; the first time there is a subscription then, too.
 * @param context of the tenant's home pool
 * @param role its name or id
 * @throws OperatorError
 */
export async function grantControlRole(
  context: StoreContext,
  given: { readonly principalId: string; readonly role: string; readonly scope: string },
): Promise<{
  readonly assignment: ControlAssignment;
  readonly subscriptions: readonly Subscription[];
}> {
  const roles = await readControlRoles();
  const role = roles.find(
    ({ id, roleName }) => id === given.role || roleName.toLowerCase() === given.role.toLowerCase(),
  );
  if (role === undefined)
    throw new OperatorError(
      `There is no role ${given.role} of the control plane: there are ${roles.map(({ roleName }) => roleName).join(', ')}.`,
    );
  try {
    const assignment: ControlAssignment = {
      id: randomUUID(),
      principalId: parsePrincipalId(given.principalId),
      roleId: role.id,
      scope: parseControlScope(given.scope),
    };
    const store = createControlAssignmentStore(context);
    await store.insert(assignment, newChange('ControlRoleAssignmentCreate', assignment));
    const found = await createGroupStore(context).listSubscriptions();
    const subscriptions =
      found.length > 0 ? found : [await makeSubscription(context, FIRST_SUBSCRIPTION)];
    return { assignment, subscriptions };
  } catch (error) {
    if (error instanceof ServiceError && error.code !== 'StoreUnavailable')
      throw new OperatorError(error.message, { cause: error });
    throw error;
  }
}
