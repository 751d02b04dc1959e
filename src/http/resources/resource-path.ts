import { parseGuid } from '../../core/guid.ts';
import type { HsmPlace } from '../../core/resources/managed-hsm.ts';

type RawParams = Readonly<Record<string, string | undefined>>;

export const SUBSCRIPTION = '/subscriptions/:subscription';
/** Express compares without regard to case: az writes `resourcegroups`. */
export const GROUP = `${SUBSCRIPTION}/resourceGroups/:group`;
export const KEY_VAULT = '/providers/Microsoft.KeyVault';
export const MANAGED_HSM = `${GROUP}${KEY_VAULT}/managedHSMs/:name`;

export interface SubscriptionParams {
  readonly subscriptionId: string;
}

export interface GroupParams extends SubscriptionParams {
  readonly groupName: string;
}

/** @throws ServiceError BadParameter */
export function readSubscription(raw: RawParams): SubscriptionParams {
  return { subscriptionId: parseGuid('The id of a subscription', raw['subscription'] ?? '') };
}

/** @throws ServiceError BadParameter */
export function readGroup(raw: RawParams): GroupParams {
  return { ...readSubscription(raw), groupName: raw['group'] ?? '' };
}

/** @throws ServiceError BadParameter */
export function readManagedHsm(raw: RawParams): HsmPlace {
  return { ...readGroup(raw), name: raw['name'] ?? '' };
}

export function groupPath({ subscriptionId, groupName }: GroupParams): string {
  return `/subscriptions/${subscriptionId}/resourceGroups/${groupName}`;
}

export function managedHsmPath(place: HsmPlace): string {
  return `${groupPath(place)}${KEY_VAULT}/managedHSMs/${place.name}`;
}
