import { readFile } from 'node:fs/promises';
import { type Enforcer, newEnforcer, newModelFromString } from 'casbin';
import { type Action } from '../core/actions.ts';
import { CoherentCache } from '../core/coherent-cache.ts';
import { ServiceError } from '../core/errors.ts';
import { type Authorizer, type ChangeFeed, type Clock, type PolicyReader } from '../core/ports.ts';
import { type Principal } from '../core/principal.ts';
import { coveringScopes, type Scope } from '../core/role.ts';
import { CALLER, createPolicyAdapter, readLines } from './policy-adapter.ts';
import { sharePolicies } from './shared-policies.ts';

const MODEL_FILE = new URL('../../policies/model.conf', import.meta.url);

export interface AuthorizerOptions {
  readonly policies: PolicyReader;
  readonly feed: ChangeFeed;
  readonly clock: Clock;
  /** Callers whose policy is kept in memory, at most. */
  readonly callers: number;
  /** Policies that several callers can have in common, at most. */
  readonly sharedPolicies: number;
  /** Casbin's answers remembered for each policy, at most. */
  readonly decisions: number;
  readonly onError: (error: unknown, question: DecisionQuestion) => void;
}

/** What could not be decided. */
interface DecisionQuestion {
  readonly principalId: string;
  readonly action: Action;
  readonly scope: Scope;
}

/** An enforcer, and what it has answered. Callers whose lines are the same have the same one. */
interface Policy {
  readonly enforcer: Enforcer;
  /** By action and the exact scope that Casbin was asked about: a role held at `/` takes one line, not one a key. */
  readonly decided: Map<string, boolean>;
}

/** It is thrown away when the caller's policy changes. */
interface CallerPolicy {
  readonly policy: Policy;
  /** When the first of its assignments ends by itself; seconds since 1970-01-01 UTC. */
  readonly endsAt: number;
}

interface OpenAuthorizer extends Authorizer {
  /** Of the callers whose policies are remembered. */
  readonly status: CoherentCache<CallerPolicy>['status'];
}

/** Decides by Casbin. Deny unless allowed, and on any error but an unreachable store, which the caller is told. */
export async function createAuthorizer(options: AuthorizerOptions): Promise<OpenAuthorizer> {
  if (!Number.isInteger(options.decisions) || options.decisions < 1)
    throw new RangeError('at least one decision is remembered');
  const modelText = await readFile(MODEL_FILE, 'utf8');
  const adapter = createPolicyAdapter();
  const policyOf = sharePolicies<Policy>(options.sharedPolicies, async (lines) => {
    const enforcer = await newEnforcer(newModelFromString(modelText));
    enforcer.setAdapter(adapter);
    await enforcer.loadFilteredPolicy(lines);
    return { enforcer, decided: new Map() };
  });
  const seconds = () => options.clock.now().getTime() / 1000;
  let inGroups = false;
  // A change of one's own assignments drops one's entry; a group's assignments may be anyone's, and so may a role's
  // permissions: entries of callers in groups are under a key that no single id matches, so those changes drop all.
  const cache = new CoherentCache<CallerPolicy>(options.feed, options.callers, ({ topic, id }) => {
    if (topic === 'role') return 'all';
    if (topic !== 'assignment') return undefined;
    return inGroups ? 'all' : { key: id };
  });

  async function load(principalIds: readonly string[]): Promise<CallerPolicy> {
    const { endsAt, ...lines } = await readLines(options.policies, principalIds, seconds());
    return { policy: await policyOf(lines), endsAt };
  }

  async function decide(principal: Principal, action: Action, scope: Scope): Promise<boolean> {
    const principalIds = [principal.objectId, ...principal.groups];
    if (principalIds.length > 1) inGroups = true;
    const key = principalIds.length === 1 ? principal.objectId : principalIds.sort().join('\0');
    let held = await cache.get(key, () => load(principalIds));
    if (held !== undefined && seconds() >= held.endsAt) {
      cache.forget(key);
      held = await cache.get(key, () => load(principalIds));
    }
    if (held === undefined) return false;
    const { policy } = held;
    return coveringScopes(scope).some((covering) => isHeldAt(policy, action, covering));
  }

  function isHeldAt({ enforcer, decided }: Policy, action: Action, scope: Scope): boolean {
    const question = `${action} ${scope}`;
    const known = decided.get(question);
    if (known !== undefined) return known;
    const isAllowed = enforcer.enforceSync(CALLER, scope, action);
    if (decided.size >= options.decisions) decided.clear();
    decided.set(question, isAllowed);
    return isAllowed;
  }

  return {
    get status() {
      return cache.status;
    },
    async isAllowed(principal, action, scope) {
      try {
        return await decide(principal, action, scope);
      } catch (error) {
        if (error instanceof ServiceError) throw error;
        options.onError(error, { principalId: principal.objectId, action, scope });
        return false;
      }
    },
  };
}
