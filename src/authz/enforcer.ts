import { readFile } from 'node:fs/promises';
import { type Enforcer, newEnforcer, newModelFromString } from 'casbin';
import type { Action } from '../core/access/actions.ts';
import { CoherentCache } from '../core/caching/coherent-cache.ts';
import { ServiceError } from '../core/errors.ts';
import type { Authorizer, PolicyReader } from '../core/access/ports.ts';
import type { ChangeFeed } from '../core/caching/change-feed.ts';
import type { Clock } from '../core/clock.ts';
import type { Principal } from '../core/access/principal.ts';
import { coveringScopes, type Scope } from '../core/access/role.ts';
import { packageFile } from '../core/package-file.ts';
import { CALLER, createPolicyAdapter, readLines } from './policy-adapter.ts';
import { sharePolicies } from './shared-policies.ts';

const MODEL_FILE = packageFile('policies/model.conf');

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
  // A change of assignments drops the entries of those who have them, themselves or through a group; a role's permissions
  // may be anyone's.
  const cache = new CoherentCache<CallerPolicy>(options.feed, options.callers, ({ topic, id }) => {
    if (topic === 'role') return 'all';
    return topic === 'assignment' ? { key: id } : undefined;
  });

  async function load(principalIds: readonly string[]): Promise<CallerPolicy> {
    const { endsAt, ...lines } = await readLines(options.policies, principalIds, seconds());
    return { policy: await policyOf(lines), endsAt };
  }

  async function decide(
    principal: Principal,
    action: Action,
    scope: Scope,
    isAnew: boolean,
  ): Promise<boolean> {
    const principalIds = [principal.objectId, ...principal.groups];
    const key = principalIds.length === 1 ? principal.objectId : principalIds.sort().join('\0');
    const read = () => load(principalIds);
    let held = isAnew
      ? await cache.renew(key, read, principalIds)
      : await cache.get(key, read, principalIds);
    if (held !== undefined && seconds() >= held.endsAt) {
      cache.forget(key);
      held = await cache.get(key, read, principalIds);
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

  async function decideOrDeny(...question: Parameters<typeof decide>): Promise<boolean> {
    try {
      return await decide(...question);
    } catch (error) {
      if (error instanceof ServiceError) throw error;
      const [{ objectId: principalId }, action, scope] = question;
      options.onError(error, { principalId, action, scope });
      return false;
    }
  }

  return {
    get status() {
      return cache.status;
    },
    isAllowed: (principal, action, scope) => decideOrDeny(principal, action, scope, false),
    isAllowedNow: (principal, action, scope) => decideOrDeny(principal, action, scope, true),
  };
}
