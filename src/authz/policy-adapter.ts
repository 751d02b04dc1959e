import type { FilteredAdapter, Model } from 'casbin';
import type { PolicyReader } from '../core/access/ports.ts';

/** What an enforcer is loaded with: the lines of one caller and the groups it is in. */
export interface PolicyLines {
  /** Role and action. */
  readonly permissions: readonly (readonly [string, string])[];
  /** CALLER, role and scope. */
  readonly assignments: readonly (readonly [string, string, string])[];
}

/**
 * The name under which a caller's own assignments and those of its groups stand in its enforcer. It must never be a role's
 * id (those are GUIDs): to Casbin everything is a member of itself, at every scope.
 */
export const CALLER = 'caller';

/**
 * The lines of these principals, however many others there are, without assignments that have ended.
 * @param now seconds since 1970-01-01 UTC
 * @returns and when the first of the assignments ends: seconds likewise, infinity where none does
 */
export async function readLines(
  policies: PolicyReader,
  principalIds: readonly string[],
  now: number,
): Promise<PolicyLines & { readonly endsAt: number }> {
  const { permissions, assignments } = await policies.policyOf(principalIds);
  const lasting = assignments.filter(({ expiresOn = Number.POSITIVE_INFINITY }) => now < expiresOn);
  return {
    permissions: permissions.map(({ roleDefinitionId, action }) => [roleDefinitionId, action]),
    assignments: lasting.map(({ roleDefinitionId, scope }) => [CALLER, roleDefinitionId, scope]),
    endsAt: lasting.reduce(
      (first, { expiresOn = first }) => Math.min(first, expiresOn),
      Number.POSITIVE_INFINITY,
    ),
  };
}

/**
 * Casbin's adapter over lines that were read from the store. Only ever filtered, never the whole. Policies are written by
 * the stores, in the transaction of the change that they belong to, so saving through Casbin is refused.
 */
export function createPolicyAdapter(): FilteredAdapter {
  const refuse = () => Promise.reject(new Error('policies are written by the stores'));
  return {
    isFiltered: () => true,
    loadPolicy: () => Promise.reject(new Error('policies are never loaded as a whole')),
    loadFilteredPolicy(model: Model, { permissions, assignments }: PolicyLines) {
      // Not line by line: addPolicy looks through all lines before it, and took 2 s for a caller with 20,000 assignments.
      model.addPolicies(
        'p',
        'p',
        permissions.map((line) => [...line]),
      );
      model.addPolicies(
        'g',
        'g',
        assignments.map((line) => [...line]),
      );
      return Promise.resolve();
    },
    savePolicy: refuse,
    addPolicy: refuse,
    removePolicy: refuse,
    removeFilteredPolicy: refuse,
  };
}
