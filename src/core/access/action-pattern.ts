import { type Action, ACTIONS } from './actions.ts';
import { ServiceError } from '../errors.ts';
import type { Permission } from './role.ts';

const LONGEST = 256;

/**
 * The data actions that a text of a role definition stands for: one by its name, or all that match where it has `*` for
 * any characters. Letters are compared without regard to case, as Azure does it.
 * @throws ServiceError BadParameter, with the known actions, for a text that stands for none
 */
export function parseActionPattern(text: string): readonly Action[] {
  const matching = text.length > LONGEST ? [] : matchingActions(text, ACTIONS);
  if (matching.length > 0) return matching;
  throw new ServiceError(
    'BadParameter',
    `Data action ${JSON.stringify(text.slice(0, LONGEST))} is not known. The known data actions are: ${ACTIONS.join(', ')}.`,
  );
}

/** Those of `actions` that a text stands for, be it none. */
export function matchingActions<Known extends string>(
  text: string,
  actions: readonly Known[],
): readonly Known[] {
  const parts = text.toLowerCase().split('*');
  return actions.filter((action) => matches(action.toLowerCase(), parts));
}

/** Each part after the one before it, the first at the beginning and the last at the end: no backtracking. */
function matches(action: string, parts: readonly string[]): boolean {
  const [first = '', ...rest] = parts;
  const last = rest.pop();
  if (last === undefined) return action === first;
  if (!action.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = action.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return action.length - last.length >= at && action.endsWith(last);
}

/** What permissions come to: the actions of each without its exclusions, and all of them together. */
export function effectiveActions(permissions: readonly Permission[]): ReadonlySet<Action> {
  const allowed = new Set<Action>();
  const matching = (text: string) => matchingActions(text, ACTIONS);
  for (const { dataActions, notDataActions } of permissions) {
    const excluded = new Set(notDataActions.flatMap(matching));
    for (const action of dataActions.flatMap(matching))
      if (!excluded.has(action)) allowed.add(action);
  }
  return allowed;
}

/** Actions that decide over the pool itself: who may what, its backups, its security domain, settings and directory. */
const CONTROL = [
  /\/role(Definitions|Assignments)\/(write|delete)\//,
  /\/securitydomain\//,
  /\/managedHsm\/(backup|restore)\//,
  /\/settings\/write\//,
  /^Strongroom\/directory\/write\//,
];

export function isControlAction(action: Action): boolean {
  return CONTROL.some((pattern) => pattern.test(action));
}
