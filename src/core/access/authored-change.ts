import type { AuditedChange } from '../audit/record.ts';
import type { HeldPolicy } from './held-policy.ts';
import type { RoleAssignment, RoleDefinition } from './role.ts';

/** Only the privilege-escalation rules (escalation-rules.ts) make an author, so no change of who may what gets past them. */
declare const MADE_BY_THE_RULES: unique symbol;

/**
 * Who makes a change of roles or of the directory, and what the rules let it. Stores ask it in the transaction of the
 * change, with what they read there: nothing can come between the question and the change. Each: @throws ServiceError
 * AccessDenied.
 */
export interface Author {
  readonly [MADE_BY_THE_RULES]: true;
  /** Ids under which it has signed in just now: its own, and those of its groups. */
  readonly ids: readonly string[];

  /** @param target whether the principal of the assignment is an object of the built-in directory */
  requireMayGrant(
    role: RoleDefinition | undefined,
    assignment: RoleAssignment,
    target: { readonly isInDirectory: boolean },
  ): void;
  requireMayRevoke(role: RoleDefinition | undefined, principalId: string): void;
  /** Before a role is written (`wanted`) or removed. */
  requireMayDefine(
    id: string,
    versions: { readonly present?: RoleDefinition; readonly wanted?: RoleDefinition },
    holders: RoleHolders,
  ): void;
  /**
   * Before somebody may come to be, or to belong to, what holds this: a credential, an identity, a member is added, or
   * what was disabled is enabled, or the name by which roles are given changes.
   */
  requireMayEmpower(held: HeldPolicy): void;
  /**
   * Before a way in is taken away from who holds this.
   * @param principalId whose it is alone, where there is one: what is one's own may be given up
   */
  requireMayDisempower(held: HeldPolicy, principalId?: string): void;
}

/** To whom a role is assigned, the author and its groups apart. */
export interface RoleHolders {
  readonly inDirectory: boolean;
  /** To ids that the directory doesn't know: principals and groups of other issuers. */
  readonly elsewhere: boolean;
}

/** A change of roles or of the directory: audited, and by somebody. */
export type AuthoredChange = AuditedChange & { readonly author: Author };
