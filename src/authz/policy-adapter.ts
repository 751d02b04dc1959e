import { type FilteredAdapter, type Model } from 'casbin';
import { type PolicyReader } from '../core/ports.ts';

/** Which lines an enforcer needs: those of one caller and the groups it is in. */
interface PolicyFilter {
  readonly principalIds: readonly string[];
  /** Seconds since 1970-01-01 UTC: assignments that have ended by then are left out. */
  readonly now: number;
  /** Told when the first of the others ends. */
  readonly onEnd: (endsAt: number) => void;
}

/**
 * The name under which a caller's own assignments and those of its groups stand in its enforcer. It must never be a role's
 * id (those are GUIDs): to Casbin everything is a member of itself, at every scope.
 */
export const CALLER = 'caller';

/**
 * Casbin's adapter over the store. Only ever filtered: the lines of one caller, however many others there are. Policies
 * are written by the stores, in the transaction of the change that they belong to, so saving through Casbin is refused.
 */
export function createPolicyAdapter(policies: PolicyReader): FilteredAdapter {
  const refuse = () => Promise.reject(new Error('policies are written by the stores'));
  return {
    isFiltered: () => true,
    loadPolicy: () => Promise.reject(new Error('policies are never loaded as a whole')),
    async loadFilteredPolicy(model: Model, { principalIds, now, onEnd }: PolicyFilter) {
      const policy = await policies.policyOf(principalIds);
      const { permissions } = policy;
      const assignments = policy.assignments.filter(
        ({ expiresOn = Number.POSITIVE_INFINITY }) => now < expiresOn,
      );
      const ends = assignments.flatMap(({ expiresOn }) => expiresOn ?? []);
      if (ends.length > 0) onEnd(Math.min(...ends));
      // Not line by line: addPolicy looks through all lines before it, and took 2 s for a caller with 20,000 assignments.
      model.addPolicies(
        'p',
        'p',
        permissions.map(({ roleDefinitionId, action }) => [roleDefinitionId, action]),
      );
      model.addPolicies(
        'g',
        'g',
        assignments.map(({ roleDefinitionId, scope }) => [CALLER, roleDefinitionId, scope]),
      );
    },
    savePolicy: refuse,
    addPolicy: refuse,
    removePolicy: refuse,
    removeFilteredPolicy: refuse,
  };
}
