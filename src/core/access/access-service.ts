import { effectiveActions, parseActionPattern } from './action-pattern.ts';
import type { Action } from './actions.ts';
import type { RequireAssignee } from './assignee.ts';
import { ServiceError } from '../errors.ts';
import type { PrincipalReader } from '../directory/ports.ts';
import type { Authorizer, RoleStore } from './ports.ts';
import type { Clock } from '../clock.ts';
import {
  isWithin,
  parsePrincipalId,
  parseScope,
  type RoleAssignment,
  type RoleDefinition,
  type Scope,
} from './role.ts';
import { parseGuid } from '../guid.ts';
import { parseRoleDefinition, type RequestedDefinition } from './role-definition.ts';

export interface AccessQuestion {
  readonly principalId: string;
  /** Groups that it is in besides those of the directory; assignments of these count as its own. */
  readonly groups: readonly string[];
  readonly action: string;
  readonly scope: string;
}

/** An assignment and what it does for a question: it allows it, or why it doesn't. */
export interface ConsideredAssignment {
  readonly assignment: RoleAssignment;
  /** Absent where the definition has been deleted. */
  readonly role?: RoleDefinition;
  readonly verdict: 'allows' | 'ended' | 'role is gone' | 'other scope' | 'action not in role';
}

export interface AccessAnswer {
  readonly isAllowed: boolean;
  readonly action: Action;
  readonly scope: Scope;
  readonly considered: readonly ConsideredAssignment[];
}

/** A change of policy that is thought through and not made. */
export type ProposedChange =
  | {
      readonly type: 'assign';
      readonly principalId: string;
      readonly roleDefinitionId: string;
      readonly scope: string;
    }
  | { readonly type: 'revoke'; readonly name: string; readonly scope: string }
  | { readonly type: 'define'; readonly name: string; readonly properties: RequestedDefinition }
  | { readonly type: 'undefine'; readonly name: string };

/** Actions that a principal comes to hold, or ceases to hold, at a scope and below. */
export interface Difference {
  readonly principalId: string;
  readonly scope: Scope;
  readonly actions: readonly Action[];
}

export interface AccessServiceParts {
  readonly roles: RoleStore;
  readonly principals: PrincipalReader;
  readonly authorizer: Authorizer;
  readonly requireAssignee: RequireAssignee;
  readonly clock: Clock;
}

export type AccessService = ReturnType<typeof createAccessService>;

/** What is looked at for one answer: assignments of one principal, and principals of one role. */
const LIMIT = 1000;

/** Why somebody may do something, and what would become of it. Who may ask is decided before. */
export function createAccessService(parts: AccessServiceParts) {
  const { roles, principals, authorizer, requireAssignee, clock } = parts;
  const seconds = () => clock.now().getTime() / 1000;

  async function assignmentsOf(principalId: string): Promise<readonly RoleAssignment[]> {
    const filter = { scope: '/', above: true, below: true, principalId } as const;
    return (await roles.listAssignments(filter, { limit: LIMIT })).items;
  }

  function createDefinitions() {
    const known = new Map<string, RoleDefinition | undefined>();
    return async (id: string) => {
      if (!known.has(id)) known.set(id, await roles.findDefinition(id));
      return known.get(id);
    };
  }

  return {
    /** The decision itself is the enforcer's; the assignments say through what it came. @throws ServiceError BadParameter */
    async explain(question: AccessQuestion): Promise<AccessAnswer> {
      const scope = requireScope(question.scope);
      const action = requireAction(question.action);
      const objectId = parsePrincipalId(question.principalId);
      await requireAssignee(objectId);
      const known = await principals.findPrincipal({ id: objectId });
      const groups = [...question.groups.map(parsePrincipalId), ...(known?.groups ?? [])];
      const ids = [objectId, ...groups];
      const definitionOf = createDefinitions();
      const now = seconds();
      const considered: ConsideredAssignment[] = [];
      for (const id of new Set(ids))
        for (const assignment of await assignmentsOf(id)) {
          const role = await definitionOf(assignment.roleDefinitionId);
          considered.push({
            assignment,
            ...(role !== undefined && { role }),
            verdict: verdictOn(assignment, role, action, scope, now),
          });
        }
      const isAllowed = await authorizer.isAllowedNow(
        { tenantId: '', objectId, groups },
        action,
        scope,
      );
      return { isAllowed, action, scope, considered };
    },

    /**
     * Who would gain and lose what, if the changes were made in this order. Whether the caller could make them isn't asked.
     * `isComplete` is false where a role or a principal has more assignments than are looked at.
     * @throws ServiceError BadParameter, RoleDefinitionNotFound, RoleAssignmentNotFound
     */
    async preview(changes: readonly ProposedChange[]): Promise<{
      readonly gains: readonly Difference[];
      readonly losses: readonly Difference[];
      readonly isComplete: boolean;
    }> {
      const before = new Map<string, readonly RoleAssignment[]>();
      const definitions = createDefinitions();
      const redefined = new Map<string, RoleDefinition | undefined>();
      const definitionAfter = async (id: string) =>
        redefined.has(id) ? redefined.get(id) : definitions(id);
      const added: RoleAssignment[] = [];
      const removed = new Set<string>();
      let isComplete = true;

      const look = async (principalId: string) => {
        if (before.has(principalId)) return;
        const held = await assignmentsOf(principalId);
        if (held.length === LIMIT) isComplete = false;
        before.set(principalId, held);
      };
      const lookAtHolders = async (roleId: string) => {
        const holders = await roles.listHolders(roleId, LIMIT);
        if (holders.length === LIMIT) isComplete = false;
        for (const principalId of holders) await look(principalId);
      };

      for (const change of changes) {
        switch (change.type) {
          case 'assign': {
            const assignment = await proposedAssignment(change, definitionAfter);
            await requireAssignee(assignment.principalId);
            await look(assignment.principalId);
            added.push(assignment);
            break;
          }
          case 'revoke': {
            const id = parseGuid('Role assignment name', change.name);
            const found = await roles.findAssignment(id, requireScope(change.scope));
            if (found === undefined)
              throw new ServiceError(
                'RoleAssignmentNotFound',
                'Requested role assignment not found',
              );
            await look(found.principalId);
            removed.add(found.id);
            break;
          }
          case 'define':
          case 'undefine': {
            const id = parseGuid('Role definition name', change.name);
            await lookAtHolders(id);
            redefined.set(
              id,
              change.type === 'define' ? parseRoleDefinition(id, change.properties) : undefined,
            );
            break;
          }
        }
      }

      const gains: Difference[] = [];
      const losses: Difference[] = [];
      const now = seconds();
      for (const [principalId, held] of before) {
        const after = [
          ...held.filter(({ id }) => !removed.has(id)),
          ...added.filter((assignment) => assignment.principalId === principalId),
        ];
        const had = await grantsOf(held, definitions, now);
        const has = await grantsOf(after, definitionAfter, now);
        gains.push(...differences(principalId, has, had));
        losses.push(...differences(principalId, had, has));
      }
      return { gains, losses, isComplete };
    },
  };
}

function verdictOn(
  assignment: RoleAssignment,
  role: RoleDefinition | undefined,
  action: Action,
  scope: Scope,
  now: number,
): ConsideredAssignment['verdict'] {
  if (hasEnded(assignment, now)) return 'ended';
  if (role === undefined) return 'role is gone';
  if (!isWithin(scope, assignment.scope)) return 'other scope';
  return effectiveActions(role.permissions).has(action) ? 'allows' : 'action not in role';
}

function hasEnded({ expiresOn }: RoleAssignment, now: number): boolean {
  return expiresOn !== undefined && now >= expiresOn;
}

type Definitions = (id: string) => Promise<RoleDefinition | undefined>;

async function proposedAssignment(
  change: ProposedChange & { type: 'assign' },
  definitionOf: Definitions,
): Promise<RoleAssignment> {
  const roleId = change.roleDefinitionId.split('/').at(-1) ?? '';
  const role = await definitionOf(parseGuid('Property roleDefinitionId', roleId));
  if (role === undefined)
    throw new ServiceError('RoleDefinitionNotFound', 'Requested role definition not found');
  return {
    id: '',
    principalId: parsePrincipalId(change.principalId),
    roleDefinitionId: role.id,
    scope: requireScope(change.scope),
  };
}

/** What each scope is given by assignments at that very scope. */
async function grantsOf(
  assignments: readonly RoleAssignment[],
  definitionOf: Definitions,
  now: number,
): Promise<ReadonlyMap<Scope, ReadonlySet<Action>>> {
  const grants = new Map<Scope, Set<Action>>();
  for (const assignment of assignments) {
    const role = hasEnded(assignment, now)
      ? undefined
      : await definitionOf(assignment.roleDefinitionId);
    const actions = grants.get(assignment.scope) ?? new Set();
    for (const action of effectiveActions(role?.permissions ?? [])) actions.add(action);
    grants.set(assignment.scope, actions);
  }
  return grants;
}

/** What `more` gives and `less` doesn't, each action at the widest scope at which that is so. */
function differences(
  principalId: string,
  more: ReadonlyMap<Scope, ReadonlySet<Action>>,
  less: ReadonlyMap<Scope, ReadonlySet<Action>>,
): readonly Difference[] {
  const scopes = [...new Set([...more.keys(), ...less.keys()])];
  const isHeld = (grants: typeof more, action: Action, scope: Scope) =>
    [...grants].some(([at, actions]) => isWithin(scope, at) && actions.has(action));
  const differs = (action: Action, scope: Scope) =>
    isHeld(more, action, scope) && !isHeld(less, action, scope);
  return scopes.flatMap((scope) => {
    const held = new Set(
      [...more].flatMap(([at, actions]) => (isWithin(scope, at) ? [...actions] : [])),
    );
    const actions = [...held].filter(
      (action) =>
        differs(action, scope) &&
        !scopes.some((at) => at !== scope && isWithin(scope, at) && differs(action, at)),
    );
    return actions.length === 0 ? [] : [{ principalId, scope, actions: actions.sort() }];
  });
}

function requireScope(text: string): Scope {
  const scope = parseScope(text);
  if (scope === undefined)
    throw new ServiceError(
      'BadParameter',
      'Property scope has an invalid value: it must be /, /keys or /keys/{name}.',
    );
  return scope;
}

function requireAction(text: string): Action {
  const [action, ...more] = parseActionPattern(text);
  if (action === undefined || more.length > 0)
    throw new ServiceError(
      'BadParameter',
      'Property action has an invalid value: it must be one data action.',
    );
  return action;
}
