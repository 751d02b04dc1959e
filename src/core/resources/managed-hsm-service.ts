import type { RequireAssignee } from '../access/assignee.ts';
import type { AuditDraft } from '../audit/draft.ts';
import type { Clock } from '../clock.ts';
import { ServiceError } from '../errors.ts';
import type { Page, PageRequest } from '../paging.ts';
import { type HsmPlace, type ManagedHsm, poolNameOf } from './managed-hsm.ts';
import { changed, created, deleted, recovered, type WrittenHsm } from './managed-hsm-changes.ts';
import { isManagedHsmName, MANAGED_HSM_NAME_RULE } from './names.ts';
import type { HsmChange, ManagedHsmStore, PoolProvisioner, PresentHsm } from './ports.ts';
import { managedHsmScope } from './scope.ts';

export interface ManagedHsmServiceParts {
  readonly store: ManagedHsmStore;
  readonly provisioner: PoolProvisioner;
  readonly requireAssignee: RequireAssignee;
  readonly clock: Clock;
  /** An operation has begun: somebody is to see to it. */
  readonly onBegun: () => void;
}

/** What a request has led to; without an operation it is done. */
export interface HsmResult {
  readonly hsm: ManagedHsm;
  readonly operationId: string | undefined;
}

export type ManagedHsmService = ReturnType<typeof createManagedHsmService>;

/** Managed HSMs of a tenant, as clients of Azure Resource Manager make and manage them. */
export function createManagedHsmService(parts: ManagedHsmServiceParts) {
  const { store, provisioner, requireAssignee, clock, onBegun } = parts;

  const isMade = async (hsm: Pick<ManagedHsm, 'name'>) =>
    (await provisioner.stateOf(poolNameOf(hsm))) !== undefined;

  async function find(place: HsmPlace): Promise<ManagedHsm | undefined> {
    const hsm = await store.findManagedHsm(place.name);
    return hsm !== undefined && hsm.deleted === undefined && isAt(hsm, place) ? hsm : undefined;
  }

  async function get(place: HsmPlace): Promise<ManagedHsm> {
    const hsm = await find(place);
    if (hsm !== undefined) return hsm;
    throw notFound(place);
  }

  async function findDeleted(
    subscriptionId: string,
    location: string,
    name: string,
  ): Promise<ManagedHsm | undefined> {
    const hsm = await store.findManagedHsm(name);
    const isIt =
      hsm?.deleted !== undefined &&
      hsm.subscriptionId === subscriptionId &&
      hsm.location === location;
    return isIt ? hsm : undefined;
  }

  async function getDeleted(
    subscriptionId: string,
    location: string,
    name: string,
  ): Promise<ManagedHsm> {
    const hsm = await findDeleted(subscriptionId, location, name);
    if (hsm !== undefined) return hsm;
    throw new ServiceError(
      'ResourceNotFound',
      `There is no deleted Managed HSM ${name} in the location ${location}.`,
    );
  }

  /** @throws ServiceError Conflict while an operation is under way, and what `decide` throws */
  async function change(
    place: HsmPlace,
    decide: (present: PresentHsm | undefined, groupName: string | undefined) => HsmChange,
    audit: AuditDraft,
  ): Promise<{ readonly hsm: ManagedHsm | undefined; readonly operationId: string | undefined }> {
    const result = await store.changeManagedHsm(
      place,
      (present, groupName) => {
        if (present?.isUnderOperation === true)
          throw new ServiceError(
            'Conflict',
            `Another operation on the Managed HSM ${place.name} is under way: wait until it has ended.`,
          );
        const decided = decide(present, groupName);
        audit.note({ change: { before: present?.hsm, after: decided.hsm } });
        audit.succeedsWith('begins' in decided ? 202 : 200);
        return decided;
      },
      audit,
    );
    if (result.operationId !== undefined) onBegun();
    return result;
  }

  async function write(
    place: HsmPlace,
    written: WrittenHsm,
    isWhole: boolean,
    audit: AuditDraft,
  ): Promise<HsmResult> {
    const known = await store.findManagedHsm(place.name);
    if (known === undefined) {
      if (!isWhole) throw notFound(place);
      if (!(await provisioner.isFree(place.name.toLowerCase()))) throw taken(place.name);
    }
    const made = known !== undefined && (await isMade(known));
    if (!made) for (const id of written.administrators ?? []) await requireAssignee(id);
    const { hsm, operationId } = await change(
      place,
      (present, groupName) => {
        if (groupName === undefined)
          throw new ServiceError(
            'ResourceGroupNotFound',
            `Resource group '${place.groupName}' could not be found.`,
          );
        if (written.recovers) return recovered(present?.hsm, place);
        if (present === undefined) return created({ ...place, groupName }, written);
        if (present.hsm.deleted !== undefined)
          throw new ServiceError(
            'Conflict',
            `A Managed HSM ${place.name} is there in deleted state: recover it, or purge it first.`,
          );
        if (!isAt(present.hsm, place)) throw taken(place.name);
        return changed(present.hsm, written, { isWhole, isMade: made });
      },
      audit,
    );
    if (hsm === undefined) throw new TypeError('what was written is there');
    return { hsm, operationId };
  }

  return {
    find,
    get,
    findDeleted,
    getDeleted,

    list: (
      subscriptionId: string,
      groupName: string | undefined,
      page: PageRequest,
    ): Promise<Page<ManagedHsm>> =>
      store.listManagedHsms({ subscriptionId, groupName, isDeleted: false }, page),
    listDeleted: (subscriptionId: string, page: PageRequest): Promise<Page<ManagedHsm>> =>
      store.listManagedHsms({ subscriptionId, isDeleted: true }, page),

    /** Whether the pool behind it may be used: it has a security domain, or does without one. */
    isActive: async (hsm: ManagedHsm): Promise<boolean> =>
      (await provisioner.stateOf(poolNameOf(hsm)))?.isActive === true,

    /** Makes one, changes it, or recovers a deleted one. */
    put: (place: HsmPlace, written: WrittenHsm, audit: AuditDraft) =>
      write(place, written, true, audit),
    /** Changes what is written, and leaves the rest. */
    patch: (place: HsmPlace, written: WrittenHsm, audit: AuditDraft) =>
      write(place, written, false, audit),

    /**
     * Soft-deletes it. One of which no pool was made goes at once.
     * @returns undefined where there is none; else the operation, where one has begun
     */
    async delete(
      place: HsmPlace,
      audit: AuditDraft,
    ): Promise<{ readonly operationId: string | undefined } | undefined> {
      const known = await find(place);
      if (known === undefined) return undefined;
      const made = await isMade(known);
      return change(
        place,
        (present) => {
          if (present === undefined || present.hsm.deleted !== undefined) throw notFound(place);
          return made ? deleted(present.hsm, clock.now()) : { hsm: undefined };
        },
        audit,
      );
    },

    /** @throws ServiceError ResourceNotFound, PurgeProtected */
    async purge(
      subscriptionId: string,
      location: string,
      name: string,
      audit: AuditDraft,
    ): Promise<HsmResult> {
      const known = await getDeleted(subscriptionId, location, name);
      const { operationId } = await change(
        known,
        (present) => {
          if (present?.hsm.deleted === undefined) throw notFound(known);
          if (present.hsm.purgeProtection)
            throw new ServiceError(
              'PurgeProtected',
              `The Managed HSM ${name} is protected from purge: it is purged by itself on ${present.hsm.deleted.purgeAt.toISOString()}.`,
            );
          return { hsm: { ...present.hsm, state: 'Deleting' }, begins: 'purge' };
        },
        audit,
      );
      return { hsm: known, operationId };
    },

    findOperation: (id: string) => store.findOperation(id),

    /** In the form in which clients are told. */
    async checkName(name: string) {
      if (!isManagedHsmName(name))
        return {
          nameAvailable: false,
          reason: 'AccountNameInvalid',
          message: MANAGED_HSM_NAME_RULE,
        };
      const isTaken =
        (await store.findManagedHsm(name)) !== undefined ||
        !(await provisioner.isFree(name.toLowerCase()));
      if (!isTaken) return { nameAvailable: true };
      return { nameAvailable: false, reason: 'AlreadyExists', message: taken(name).message };
    },
  };
}

function isAt(hsm: ManagedHsm, { subscriptionId, groupName, name }: HsmPlace): boolean {
  return (
    managedHsmScope(hsm.subscriptionId, hsm.groupName, hsm.name) ===
    managedHsmScope(subscriptionId, groupName, name)
  );
}

function notFound({ name, groupName }: HsmPlace): ServiceError {
  return new ServiceError(
    'ResourceNotFound',
    `The Resource 'Microsoft.KeyVault/managedHSMs/${name}' under resource group '${groupName}' was not found.`,
  );
}

function taken(name: string): ServiceError {
  return new ServiceError('Conflict', `The name ${name} is taken already.`);
}
