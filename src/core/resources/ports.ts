import type { NetworkRules } from '../pool/network-rules.ts';
import type { Principal } from '../access/principal.ts';
import type { AuditedChange } from '../audit/record.ts';
import type { Page, PageRequest } from '../paging.ts';
import type { ControlAction } from './actions.ts';
import type { ControlAssignment } from './control-role.ts';
import type { HsmPlace, ManagedHsm, ResourceGroup, Subscription } from './managed-hsm.ts';
import type { ManagedHsmOperation, OperationKind, Outcome } from './operation.ts';
import type { ControlScope } from './scope.ts';

/** A pool as the control plane wants it. */
export interface WantedPool {
  /** The label of its host: lower case. */
  readonly name: string;
  readonly tenantId: string;
  readonly softDeleteDays: number;
  readonly purgeProtection: boolean;
  /** Object ids. */
  readonly administrators: readonly string[];
  readonly network: NetworkRules;
}

/**
 * Makes and removes the pools behind Managed HSMs. Everything here may be asked for again, since an operation that a process
 * has left is taken up by another: what is done already stays as it is. Each: @throws ServiceError whose sentence is for the
 * client.
 */
export interface PoolProvisioner {
  /** Whether a new pool can be called so. A name is a host's, so it is free for all tenants or for none. */
  isFree(name: string): Promise<boolean>;
  /** Undefined where there is no such pool, or not yet. */
  stateOf(name: string): Promise<{ readonly isActive: boolean } | undefined>;
  /** Makes it, with its root keys on a token of its own or a shared one, and its administrators; serves it. */
  create(wanted: WantedPool): Promise<void>;
  /** Brings what may change of a pool to what is wanted: purge protection and network rules. */
  update(wanted: WantedPool): Promise<void>;
  /** Serves it no longer, and leaves everything that it has. */
  close(name: string): Promise<void>;
  /** Serves it again after `close`. */
  open(name: string): Promise<void>;
  /** Destroys its root keys and all else that it has, for good. */
  purge(name: string): Promise<void>;
}

export interface GroupStore {
  /** There are few: an operator makes each. */
  listSubscriptions(): Promise<readonly Subscription[]>;
  insertSubscription(subscription: Subscription, change: AuditedChange): Promise<void>;
  /** By name. */
  listGroups(subscriptionId: string, page: PageRequest): Promise<Page<ResourceGroup>>;
  findGroup(subscriptionId: string, name: string): Promise<ResourceGroup | undefined>;
  /** `decide` sees the present one, locked. */
  putGroup(
    subscriptionId: string,
    name: string,
    decide: (present: ResourceGroup | undefined) => ResourceGroup,
    change: AuditedChange,
  ): Promise<ResourceGroup>;
  /**
   * Removes it, and `decide`s over each Managed HSM in it, locked, as `changeManagedHsm` does.
   * @returns false where there is no such group
   */
  deleteGroup(
    subscriptionId: string,
    name: string,
    decide: (present: PresentHsm) => HsmChange,
    change: AuditedChange,
  ): Promise<boolean>;
}

/** A Managed HSM as it is found by a change. */
export interface PresentHsm {
  readonly hsm: ManagedHsm;
  readonly isUnderOperation: boolean;
}

/** What becomes of it: another one, by an operation where its pool changes; or nothing is left. */
export type HsmChange =
  { readonly hsm: ManagedHsm; readonly begins?: OperationKind } | { readonly hsm: undefined };

export interface ManagedHsmStore {
  /** Of a subscription, or a group of it: those that are soft-deleted, or the others. By name. */
  listManagedHsms(
    filter: {
      readonly subscriptionId: string;
      readonly groupName?: string | undefined;
      readonly isDeleted: boolean;
    },
    page: PageRequest,
  ): Promise<Page<ManagedHsm>>;
  findManagedHsm(name: string): Promise<ManagedHsm | undefined>;
  /**
   * `decide` sees the present one, locked, and what the group is called, where it is there: it stays until the change is done.
   * @returns the operation that has begun, where one has
   * @throws ServiceError Conflict where another process has made one of that name meanwhile
   */
  changeManagedHsm(
    place: HsmPlace,
    decide: (present: PresentHsm | undefined, groupName: string | undefined) => HsmChange,
    change: AuditedChange,
  ): Promise<{ readonly hsm: ManagedHsm | undefined; readonly operationId: string | undefined }>;
  findOperation(id: string): Promise<ManagedHsmOperation | undefined>;
  /** One that nobody is at, for `claimSeconds`; undefined where there is none. */
  claimOperation(
    claimSeconds: number,
  ): Promise<{ readonly operation: ManagedHsmOperation; readonly hsm: ManagedHsm } | undefined>;
  keepClaim(operationId: string, claimSeconds: number): Promise<void>;
  /**
   * Nothing is done where another process has ended it.
   * @param hsm as it is from then on; undefined for none any more
   */
  endOperation(
    operation: ManagedHsmOperation,
    present: ManagedHsm,
    outcome: Outcome,
    hsm: ManagedHsm | undefined,
    change: AuditedChange,
  ): Promise<void>;
  /** Begins the purge of one whose retention has ended by the store's clock; undefined where there is none. */
  purgeExpired(now: Date, change: AuditedChange): Promise<ManagedHsm | undefined>;
}

export interface ControlAssignmentStore {
  /** Of these principals. */
  listOf(principalIds: readonly string[]): Promise<readonly ControlAssignment[]>;
  /** At `scope`, above it, and below it where asked. */
  list(
    filter: {
      readonly scope: ControlScope;
      readonly below: boolean;
      readonly principalId?: string;
    },
    page: PageRequest,
  ): Promise<Page<ControlAssignment>>;
  find(id: string): Promise<ControlAssignment | undefined>;
  /** @throws ServiceError RoleAssignmentExists where its principal has that role there already, or its name is taken */
  insert(assignment: ControlAssignment, change: AuditedChange): Promise<void>;
  delete(id: string, change: AuditedChange): Promise<void>;
}

/** What somebody may do on the control plane, read anew for each request. */
export interface ControlRights {
  isAllowed(action: ControlAction, scope: ControlScope): boolean;
  /** Whether it holds a role at a scope or below it: who may see what is in a subscription sees the subscription. */
  holdsWithin(scope: ControlScope): boolean;
}

export interface ControlAuthorizer {
  /** @throws ServiceError StoreUnavailable */
  rightsOf(principal: Principal): Promise<ControlRights>;
}
