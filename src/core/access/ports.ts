import type { Page, PageRequest } from '../paging.ts';
import type { Action } from './actions.ts';
import type { AuthoredChange } from './authored-change.ts';
import type { HeldPolicy } from './held-policy.ts';
import type { Principal } from './principal.ts';
import type { RoleAssignment, RoleDefinition, Scope } from './role.ts';

export interface RoleStore {
  /** Built-in ones first, in Azure's order. */
  listDefinitions(page: PageRequest): Promise<Page<RoleDefinition>>;
  findDefinition(id: string): Promise<RoleDefinition | undefined>;
  /**
   * Makes or changes a custom role: `decide` sees the present one, locked.
   * @param actions that it comes to
   * @throws ServiceError RoleAssignedElsewhere when the id is assigned at scopes at which the role can't be, AccessDenied,
   * and what `decide` throws
   */
  putDefinition(
    definition: RoleDefinition,
    actions: ReadonlySet<Action>,
    decide: (present: RoleDefinition | undefined) => void,
    change: AuthoredChange,
  ): Promise<void>;
  /** Its assignments stay, and give nothing any more. Undefined where there is none. */
  deleteDefinition(
    id: string,
    decide: (present: RoleDefinition) => void,
    change: AuthoredChange,
  ): Promise<RoleDefinition | undefined>;
  /** At, above or below `scope` as the flags say; `below` of `/` is everything. */
  listAssignments(
    filter: { scope: Scope; above: boolean; below: boolean; principalId?: string },
    page: PageRequest,
  ): Promise<Page<RoleAssignment>>;
  findAssignment(id: string, scope: Scope): Promise<RoleAssignment | undefined>;
  /** The principals to which a role is assigned anywhere, each once. */
  listHolders(roleDefinitionId: string, limit: number): Promise<readonly string[]>;
  /**
   * The same principal, role and scope under the same name again change description and expiry.
   * @param now seconds since 1970-01-01 UTC: what stood under another name and has ended gives way
   * @throws ServiceError RoleAssignmentExists when the name is taken by another assignment, or the same principal, role
   * and scope stand under another name; LastAdministrator rather than let the last Administrator end; BadParameter where
   * the role can't be assigned at the scope; AccessDenied
   */
  putAssignment(assignment: RoleAssignment, now: number, change: AuthoredChange): Promise<void>;
  /**
   * Undefined where there is none.
   * @throws ServiceError LastAdministrator rather than remove the last assignment of Administrator at `/` that somebody
   * holds who can sign in; AccessDenied
   */
  deleteAssignment(
    id: string,
    scope: Scope,
    change: AuthoredChange,
  ): Promise<RoleAssignment | undefined>;
}

/** Decides; denies on any error but an unreachable store. @throws ServiceError StoreUnavailable */
export interface Authorizer {
  /** By what is remembered of the principal's assignments, where it is. */
  isAllowed(principal: Principal, action: Action, scope: Scope): Promise<boolean>;
  /** By its assignments as they are now: before a refusal, so that a grant holds as soon as it has been acknowledged. */
  isAllowedNow(principal: Principal, action: Action, scope: Scope): Promise<boolean>;
}

export interface PolicyReader {
  /** What these principals hold together: a caller and its groups. */
  policyOf(principalIds: readonly string[]): Promise<HeldPolicy>;
}
