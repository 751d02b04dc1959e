import type { Action } from './actions.ts';
import type { HeldPolicy } from './held-policy.ts';
import { coveringScopes, type Scope } from './role.ts';

/** What assignments come to at one moment: until when each action is held at each scope. */
export class Holdings {
  /** By action and scope; seconds since 1970-01-01 UTC, infinity where there is no end. */
  readonly #until = new Map<string, number>();
  readonly #isHeldElsewhere: boolean;

  /** @param now seconds since 1970-01-01 UTC: what has ended by then is not held */
  constructor({ assignments, permissions, isHeldElsewhere }: HeldPolicy, now: number) {
    this.#isHeldElsewhere = isHeldElsewhere === true;
    const actions = new Map<string, string[]>();
    for (const { roleDefinitionId, action } of permissions) {
      const known = actions.get(roleDefinitionId) ?? [];
      known.push(action);
      actions.set(roleDefinitionId, known);
    }
    for (const { roleDefinitionId, scope, expiresOn = Infinity } of assignments) {
      if (expiresOn <= now) continue;
      for (const action of actions.get(roleDefinitionId) ?? []) {
        const key = `${action} ${scope}`;
        this.#until.set(key, Math.max(expiresOn, this.#until.get(key) ?? expiresOn));
      }
    }
  }

  get actions(): ReadonlySet<Action> {
    return new Set([...this.#until.keys()].map((key) => split(key).action));
  }

  /** Whether the action is held at the scope, or above it, for so long. */
  has(action: string, scope: Scope, until = 0): boolean {
    return coveringScopes(scope).some((at) => (this.#until.get(`${action} ${at}`) ?? -1) >= until);
  }

  /** Whether all that the others hold is held here too, at their scopes and for as long. */
  covers(others: Holdings): boolean {
    if (others.#isHeldElsewhere) return false;
    for (const [key, until] of others.#until) {
      const { action, scope } = split(key);
      if (!this.has(action, scope, until)) return false;
    }
    return true;
  }
}

/** Neither actions nor scopes have spaces in them. */
function split(key: string): { readonly action: Action; readonly scope: Scope } {
  const at = key.lastIndexOf(' ');
  return { action: key.slice(0, at) as Action, scope: key.slice(at + 1) as Scope };
}
