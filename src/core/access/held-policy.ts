import type { Scope } from './role.ts';

/** One assignment as Casbin's `g` line has it: principal, role definition id, scope. */
export interface PolicyAssignment {
  readonly principalId: string;
  readonly roleDefinitionId: string;
  readonly scope: Scope;
  /** It holds until then; seconds since 1970-01-01 UTC. */
  readonly expiresOn?: number;
}
/** One permission as Casbin's `p` line has it; wildcards and notDataActions are already worked out. */
export interface PolicyPermission {
  readonly roleDefinitionId: string;
  readonly action: string;
}

/** Assignments, ended ones too, and the permissions of the roles that they name. */
export interface HeldPolicy {
  readonly assignments: readonly PolicyAssignment[];
  readonly permissions: readonly PolicyPermission[];
  /**
   * Whether something is held in other pools of the tenant, or on its control plane: what that is worth can't be held against
   * rights in this one.
   */
  readonly isHeldElsewhere?: boolean;
}
