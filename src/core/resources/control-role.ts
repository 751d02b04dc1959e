import { type ControlAction, CONTROL_ACTIONS } from './actions.ts';
import { matchingActions } from '../access/action-pattern.ts';
import type { ControlScope } from './scope.ts';

/** A role of the control plane: all of them are built in. */
export interface ControlRole {
  /** The same GUID as in Azure. */
  readonly id: string;
  readonly roleName: string;
  readonly description: string;
  /** As Azure writes them, with wildcards. */
  readonly actions: readonly string[];
  readonly notActions: readonly string[];
}

export interface ControlAssignment {
  /** GUID, chosen by the client. */
  readonly id: string;
  readonly principalId: string;
  readonly roleId: string;
  readonly scope: ControlScope;
}

export const OWNER_ROLE = '8e3af657-a8ff-443c-a75c-2fe8c4bcb635';

/** What a role comes to, without its exclusions. */
export function actionsOf({
  actions,
  notActions,
}: Pick<ControlRole, 'actions' | 'notActions'>): readonly ControlAction[] {
  const excluded = new Set(notActions.flatMap((text) => matchingActions(text, CONTROL_ACTIONS)));
  const allowed = new Set(actions.flatMap((text) => matchingActions(text, CONTROL_ACTIONS)));
  return [...allowed].filter((action) => !excluded.has(action));
}

/** Who holds it decides who holds what. */
export function givesAway(role: ControlRole): boolean {
  return actionsOf(role).some((action) =>
    /^Microsoft\.Authorization\/roleAssignments\/(?:write|delete)$/.test(action),
  );
}
