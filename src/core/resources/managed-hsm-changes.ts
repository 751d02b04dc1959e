import type { NetworkRules } from '../pool/network-rules.ts';
import { isDeepStrictEqual } from 'node:util';
import { parsePrincipalId } from '../access/role.ts';
import { ServiceError } from '../errors.ts';
import type { HsmPlace, ManagedHsm } from './managed-hsm.ts';
import { withoutUndefined } from '../without-undefined.ts';
import { parseManagedHsmName } from './names.ts';
import type { HsmChange } from './ports.ts';
import type { ResourceTags } from './tags.ts';

/** What a request says of a Managed HSM. */
export interface WrittenHsm {
  /** It was deleted, and comes back as it was. */
  readonly recovers: boolean;
  readonly location?: string | undefined;
  readonly sku?: ManagedHsm['sku'] | undefined;
  readonly tags?: ResourceTags | undefined;
  readonly softDeleteDays?: number | undefined;
  readonly purgeProtection?: boolean | undefined;
  readonly administrators?: readonly string[] | undefined;
  readonly network?: NetworkRules | undefined;
}

const DEFAULTS = {
  sku: { family: 'B', name: 'Standard_B1' },
  softDeleteDays: 90,
  // As the specification of Azure's control plane has it.
  purgeProtection: true,
  network: { publicAccess: true, defaultAction: 'Allow', bypass: 'AzureServices', ipRules: [] },
} as const;

const ADMINISTRATORS_LIMIT = 50;
const DAY_MS = 86_400_000;

/** @throws ServiceError BadParameter */
export function created(place: HsmPlace, written: WrittenHsm): HsmChange {
  const { location } = written;
  if (location === undefined)
    throw new ServiceError('BadParameter', 'The property location is required.');
  const hsm: ManagedHsm = {
    subscriptionId: place.subscriptionId,
    groupName: place.groupName,
    name: parseManagedHsmName(place.name),
    location,
    sku: written.sku ?? DEFAULTS.sku,
    tags: written.tags ?? {},
    softDeleteDays: written.softDeleteDays ?? DEFAULTS.softDeleteDays,
    purgeProtection: written.purgeProtection ?? DEFAULTS.purgeProtection,
    administrators: parseAdministrators(written.administrators ?? []),
    network: written.network ?? DEFAULTS.network,
    state: 'Provisioning',
    statusMessage: 'The pool is being made.',
  };
  return { hsm, begins: 'create' };
}

/**
 * @param how `isWhole`: what isn't written goes back to what a new one has; what can't be changed stays in any case.
 * `isMade`: there is a pool behind it
 * @throws ServiceError BadParameter
 */
export function changed(
  present: ManagedHsm,
  written: WrittenHsm,
  { isWhole, isMade }: { readonly isWhole: boolean; readonly isMade: boolean },
): HsmChange {
  const administrators = written.administrators ?? present.administrators;
  requireSame('location', written.location ?? present.location, present.location);
  if (isMade) {
    requireSame(
      'properties.softDeleteRetentionInDays',
      written.softDeleteDays ?? present.softDeleteDays,
      present.softDeleteDays,
    );
    requireSame(
      'properties.initialAdminObjectIds',
      new Set(parseAdministrators(administrators)),
      new Set(present.administrators),
    );
    if (present.purgeProtection && written.purgeProtection === false)
      throw new ServiceError(
        'BadParameter',
        'The property properties.enablePurgeProtection can not be switched off.',
      );
  }
  const { tags, network } = isWhole ? { tags: {}, network: DEFAULTS.network } : present;
  const hsm: ManagedHsm = {
    ...present,
    sku: written.sku ?? present.sku,
    tags: written.tags ?? tags,
    softDeleteDays: written.softDeleteDays ?? present.softDeleteDays,
    administrators: parseAdministrators(administrators),
    purgeProtection: written.purgeProtection ?? present.purgeProtection,
    network: written.network ?? network,
  };
  if (!isMade)
    return {
      hsm: { ...hsm, state: 'Provisioning', statusMessage: 'The pool is being made.' },
      begins: 'create',
    };
  const isPoolTheSame =
    present.state === 'Succeeded' &&
    hsm.purgeProtection === present.purgeProtection &&
    isDeepStrictEqual(hsm.network, present.network);
  if (isPoolTheSame) return { hsm };
  return {
    hsm: { ...hsm, state: 'Updating', statusMessage: 'The pool is being changed.' },
    begins: 'update',
  };
}

/** Soft-deleted: it can be recovered until its retention ends. */
export function deleted(present: ManagedHsm, now: Date): HsmChange {
  const purgeAt = new Date(now.getTime() + present.softDeleteDays * DAY_MS);
  return {
    hsm: {
      ...present,
      state: 'Deleting',
      statusMessage: 'The pool is deleted.',
      deleted: { at: now, purgeAt },
    },
    begins: 'delete',
  };
}

/** @throws ServiceError BadParameter where it isn't deleted, or was elsewhere */
export function recovered(present: ManagedHsm | undefined, place: HsmPlace): HsmChange {
  const isThere =
    present?.deleted !== undefined &&
    present.subscriptionId === place.subscriptionId &&
    present.groupName.toLowerCase() === place.groupName.toLowerCase();
  if (!isThere)
    throw new ServiceError(
      'BadParameter',
      `There is no deleted Managed HSM ${place.name} of the resource group ${place.groupName} that could be recovered.`,
    );
  const recovering = { state: 'Provisioning', statusMessage: 'The pool is being recovered.' };
  return {
    hsm: withoutUndefined({ ...present, ...recovering, deleted: undefined }) as ManagedHsm,
    begins: 'recover',
  };
}

/** @throws ServiceError BadParameter */
function parseAdministrators(ids: readonly string[]): readonly string[] {
  if (ids.length === 0 || ids.length > ADMINISTRATORS_LIMIT)
    throw new ServiceError(
      'BadParameter',
      `The property properties.initialAdminObjectIds names 1 to ${ADMINISTRATORS_LIMIT} object ids: who is to administer the new pool.`,
    );
  return [...new Set(ids.map(parsePrincipalId))];
}

function requireSame(name: string, written: unknown, present: unknown): void {
  if (!isDeepStrictEqual(written, present))
    throw new ServiceError('BadParameter', `The property ${name} can not be changed.`);
}
