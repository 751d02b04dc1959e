import type { AuditDraft } from '../audit/draft.ts';
import type { Clock } from '../clock.ts';
import { ServiceError } from '../errors.ts';
import type { Page, PageRequest } from '../paging.ts';
import { type ResourceGroup, type Subscription, poolNameOf } from './managed-hsm.ts';
import { deleted } from './managed-hsm-changes.ts';
import { parseGroupName } from './names.ts';
import type { GroupStore, ManagedHsmStore, PoolProvisioner } from './ports.ts';
import type { ResourceTags } from './tags.ts';

export interface GroupServiceParts {
  readonly groups: GroupStore;
  readonly hsms: Pick<ManagedHsmStore, 'listManagedHsms'>;
  readonly provisioner: Pick<PoolProvisioner, 'stateOf'>;
  readonly clock: Clock;
  /** Operations have begun: somebody is to see to them. */
  readonly onBegun: () => void;
}

export type GroupService = ReturnType<typeof createGroupService>;

/** More than a group has, and few enough to ask of each. */
const FAILED_LIMIT = 1_000;

/** Subscriptions, which operators make, and the resource groups in them. */
export function createGroupService({
  groups,
  hsms,
  provisioner,
  clock,
  onBegun,
}: GroupServiceParts) {
  async function getSubscription(id: string): Promise<Subscription> {
    const found = (await groups.listSubscriptions()).find((known) => known.id === id);
    if (found !== undefined) return found;
    throw new ServiceError('SubscriptionNotFound', `The subscription '${id}' could not be found.`);
  }

  async function find(subscriptionId: string, name: string): Promise<ResourceGroup | undefined> {
    return groups.findGroup(subscriptionId, name);
  }

  /** Those of which no pool was made. */
  async function listUnmade(subscriptionId: string, groupName: string) {
    const { items } = await hsms.listManagedHsms(
      { subscriptionId, groupName, isDeleted: false },
      { limit: FAILED_LIMIT },
    );
    const unmade = new Set<string>();
    for (const hsm of items)
      if (hsm.state === 'Failed' && (await provisioner.stateOf(poolNameOf(hsm))) === undefined)
        unmade.add(hsm.name);
    return unmade;
  }

  return {
    listSubscriptions: () => groups.listSubscriptions(),
    getSubscription,

    list: (subscriptionId: string, page: PageRequest): Promise<Page<ResourceGroup>> =>
      groups.listGroups(subscriptionId, page),
    find,

    /** @throws ServiceError ResourceGroupNotFound */
    async get(subscriptionId: string, name: string): Promise<ResourceGroup> {
      const found = await find(subscriptionId, name);
      if (found !== undefined) return found;
      throw groupNotFound(name);
    },

    /** Makes it, or gives it other tags. @throws ServiceError Conflict where it is in another location */
    async put(
      subscriptionId: string,
      name: string,
      { location, tags }: { readonly location: string; readonly tags: ResourceTags },
      audit: AuditDraft,
    ): Promise<{ readonly group: ResourceGroup; readonly isNew: boolean }> {
      await getSubscription(subscriptionId);
      let isNew = false;
      const group = await groups.putGroup(
        subscriptionId,
        name,
        (present) => {
          isNew = present === undefined;
          if (present !== undefined && present.location !== location)
            throw new ServiceError(
              'Conflict',
              `The resource group ${name} is in the location ${present.location} already, which can not be changed.`,
            );
          const after = present ?? { subscriptionId, name: parseGroupName(name), location };
          audit.succeedsWith(isNew ? 201 : 200);
          audit.note({ change: { before: present, after: { ...after, tags } } });
          return { ...after, tags };
        },
        audit,
      );
      return { group, isNew };
    },

    /** Removes it, and soft-deletes each Managed HSM in it. @throws ServiceError ResourceGroupNotFound, Conflict */
    async delete(subscriptionId: string, name: string, audit: AuditDraft): Promise<void> {
      const unmade = await listUnmade(subscriptionId, name);
      const now = clock.now();
      const along: string[] = [];
      const isDeleted = await groups.deleteGroup(
        subscriptionId,
        name,
        ({ hsm, isUnderOperation }) => {
          if (isUnderOperation)
            throw new ServiceError(
              'Conflict',
              `An operation on the Managed HSM ${hsm.name} of this resource group is under way: wait until it has ended.`,
            );
          along.push(hsm.name);
          audit.note({ change: { before: { name }, along: { managedHsms: along } } });
          return unmade.has(hsm.name) ? { hsm: undefined } : deleted(hsm, now);
        },
        audit,
      );
      if (!isDeleted) throw groupNotFound(name);
      onBegun();
    },
  };
}

function groupNotFound(name: string): ServiceError {
  return new ServiceError('ResourceGroupNotFound', `Resource group '${name}' could not be found.`);
}
