import type { NetworkRules } from '../pool/network-rules.ts';
import type { ResourceTags } from './tags.ts';

export interface Subscription {
  /** GUID. */
  readonly id: string;
  readonly displayName: string;
}

export interface ResourceGroup {
  readonly subscriptionId: string;
  /** As it was written; it is found without regard to case. */
  readonly name: string;
  readonly location: string;
  readonly tags: ResourceTags;
}

/** Where a Managed HSM is, as a path names it. */
export interface HsmPlace {
  readonly subscriptionId: string;
  readonly groupName: string;
  readonly name: string;
}

/** What a client decides of a Managed HSM, and may change where Azure lets it. */
interface ManagedHsmProperties {
  readonly location: string;
  readonly sku: { readonly family: string; readonly name: string };
  readonly tags: ResourceTags;
  readonly softDeleteDays: number;
  readonly purgeProtection: boolean;
  /** Object ids of those who are made Managed HSM Administrators of the new pool. */
  readonly administrators: readonly string[];
  readonly network: NetworkRules;
}

/** Those at the end of an operation, and those while one is under way, in Azure's words. */
export type ProvisioningState = 'Succeeded' | 'Failed' | 'Provisioning' | 'Updating' | 'Deleting';

/** A pool as the control plane knows it: its pool is called as it is, in lower case. */
export interface ManagedHsm extends HsmPlace, ManagedHsmProperties {
  readonly state: ProvisioningState;
  readonly statusMessage: string;
  /** Soft-deleted: nobody is served, and all that the pool has is still there. */
  readonly deleted?: { readonly at: Date; readonly purgeAt: Date };
}

/** The name of the pool behind it, which is the label of its host. */
export function poolNameOf({ name }: Pick<ManagedHsm, 'name'>): string {
  return name.toLowerCase();
}
