import { effectiveActions, isControlAction } from './action-pattern.ts';
import type { Action } from './actions.ts';
import type { AuditedChange } from '../audit/record.ts';
import type { Author } from './authored-change.ts';
import { ServiceError } from '../errors.ts';
import type { HeldPolicy } from './held-policy.ts';
import { Holdings } from './holdings.ts';
import type { Clock } from '../clock.ts';
import type { PolicyReader } from './ports.ts';
import type { Principal } from './principal.ts';
import { ADMINISTRATOR_ROLE, type RoleDefinition } from './role.ts';

export interface EscalationRulesParts {
  readonly policies: PolicyReader;
  readonly clock: Clock;
}

export type EscalationRules = ReturnType<typeof createEscalationRules>;

const DIRECTORY_WRITE: Action = 'Strongroom/directory/write/action';

/**
 * The privilege-escalation rules. Whoever may write assignments, definitions or the directory can't become more by it:
 * what holds control over the pool is granted, defined, changed and taken away only by an Administrator of the whole pool;
 * nobody below Administrator grants anything to itself or to a group it is in, be it by an assignment or by writing a role
 * that it holds; and nobody below Administrator opens a way to become, or to join, what holds more than it does itself.
 */
export function createEscalationRules({ policies, clock }: EscalationRulesParts) {
  const seconds = () => clock.now().getTime() / 1000;

  return {
    /**
     * The change, and who makes it: a store takes no other.
     * @param caller as it is now, not as it is remembered
     */
    async authored<Change extends AuditedChange>(
      caller: Principal,
      change: Change,
    ): Promise<Change & { readonly author: Author }> {
      const ids = [caller.objectId, ...(caller.alsoKnownAs ?? []), ...caller.groups];
      const held = await policies.policyOf(ids);
      return Object.assign(change, { author: createAuthor(caller, ids, held, seconds) });
    },
  };
}

function createAuthor(
  caller: Principal,
  ids: readonly string[],
  held: HeldPolicy,
  seconds: () => number,
): Author {
  const own = new Holdings(held, seconds());
  const isAdministrator = held.assignments.some(
    ({ roleDefinitionId, scope, expiresOn = Infinity }) =>
      roleDefinitionId === ADMINISTRATOR_ROLE && scope === '/' && seconds() < expiresOn,
  );
  const requireAdministrator = (what: string) => {
    if (!isAdministrator)
      throw new ServiceError('AccessDenied', `Only a Managed HSM Administrator at / can ${what}.`);
  };
  // Whoever writes the directory can become any object of it that has no more than itself, so what it grants to one of
  // them it grants to itself.
  const mayFeedDirectory = own.has(DIRECTORY_WRITE, '/');

  const rules: Omit<Author, symbol> = {
    ids,

    requireMayGrant(role, { principalId, scope, expiresOn = Infinity }, { isInDirectory }) {
      if (ids.includes(principalId))
        requireAdministrator('make a role assignment for itself or for a group that it is in');
      if (caller.hasUnknownGroups === true && !isInDirectory)
        requireAdministrator(
          'make a role assignment for what may be a group that it is in: its token does not say in which groups it is',
        );
      if (role === undefined) return;
      if (hasControl(role))
        requireAdministrator(`assign the role ${role.roleName}, which holds control over the pool`);
      if (mayFeedDirectory && isInDirectory && !coversRole(own, role, [scope], expiresOn))
        requireAdministrator(
          'assign a role that holds an action which it does not hold itself to an object of the directory, which it may write',
        );
    },

    requireMayRevoke(role, principalId) {
      if (role === undefined || !hasControl(role) || principalId === caller.objectId) return;
      requireAdministrator(
        `remove an assignment of the role ${role.roleName}, which holds control over the pool`,
      );
    },

    requireMayDefine(id, { present, wanted }, holders) {
      if ([present, wanted].some((version) => version !== undefined && hasControl(version)))
        requireAdministrator('write a role that holds control over the pool');
      // An assignment that ended may be renewed by somebody who doesn't know what has become of the role.
      if (held.assignments.some(({ roleDefinitionId }) => roleDefinitionId === id))
        requireAdministrator('write a role that it holds itself, or a group that it is in');
      if (caller.hasUnknownGroups === true && holders.elsewhere)
        requireAdministrator(
          'write a role that a group may hold in which it is: its token does not say in which groups it is',
        );
      if (
        mayFeedDirectory &&
        holders.inDirectory &&
        wanted !== undefined &&
        !coversRole(own, wanted, wanted.assignableScopes, Infinity)
      )
        requireAdministrator(
          'write a role that is held in the directory, which it may write, with an action that it does not hold itself',
        );
    },

    requireMayEmpower(target) {
      if (!own.covers(new Holdings(target, seconds())))
        requireAdministrator(
          'add a credential, an identity or a member to what holds an action that it does not hold itself, or enable it',
        );
    },

    requireMayDisempower(target, principalId) {
      if (principalId === caller.objectId) return;
      const held = new Holdings(target, seconds());
      if (target.isHeldElsewhere === true || [...held.actions].some(isControlAction))
        requireAdministrator(
          'take away a credential, an identity or a member of what holds control over the pool, or disable or remove it',
        );
    },
  };
  return rules as Author;
}

/** By whoever may start the service, who has the database anyway. */
export function byOperator<Change extends AuditedChange>(
  change: Change,
): Change & { readonly author: Author } {
  const rules: Omit<Author, symbol> = {
    ids: [],
    requireMayGrant: () => undefined,
    requireMayRevoke: () => undefined,
    requireMayDefine: () => undefined,
    requireMayEmpower: () => undefined,
    requireMayDisempower: () => undefined,
  };
  return Object.assign(change, { author: rules as Author });
}

function hasControl({ permissions }: RoleDefinition): boolean {
  return [...effectiveActions(permissions)].some(isControlAction);
}

function coversRole(
  own: Holdings,
  role: RoleDefinition,
  scopes: RoleDefinition['assignableScopes'],
  until: number,
): boolean {
  const actions = [...effectiveActions(role.permissions)];
  return scopes.every((scope) => actions.every((action) => own.has(action, scope, until)));
}
