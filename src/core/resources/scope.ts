import { ServiceError } from '../errors.ts';
import { isGuid } from '../guid.ts';

/** Where a control-plane role is held, and at what a request aims: the tenant, a subscription, a group, one Managed HSM. */
export type ControlScope = '/' | `/subscriptions/${string}`;

/** Names are compared without regard to case, so those in a scope are in lower case. */
export function subscriptionScope(subscriptionId: string): ControlScope {
  return `/subscriptions/${subscriptionId.toLowerCase()}`;
}

export function groupScope(subscriptionId: string, group: string): ControlScope {
  return `${subscriptionScope(subscriptionId)}/resourceGroups/${group.toLowerCase()}` as ControlScope;
}

export function managedHsmScope(subscriptionId: string, group: string, name: string): ControlScope {
  return `${groupScope(subscriptionId, group)}/providers/Microsoft.KeyVault/managedHSMs/${name.toLowerCase()}` as ControlScope;
}

/** Segments at which a scope ends: the tenant, a subscription, a group, a resource. */
const ENDS = [1, 3, 5, 9];

/** The scopes at which an assignment covers a request aimed at `scope`, widest first: itself and all above it. */
export function coveringScopes(scope: ControlScope): readonly ControlScope[] {
  const segments = scope.split('/');
  return ENDS.filter((end) => end === 1 || (scope !== '/' && end <= segments.length)).map(
    (end) => (segments.slice(0, end).join('/') || '/') as ControlScope,
  );
}

/** Whether `scope` is `wider` itself or below it. */
export function isWithin(scope: ControlScope, wider: ControlScope): boolean {
  return coveringScopes(scope).includes(wider);
}

const FORM =
  /^\/subscriptions\/(?<subscription>[^/]+)(?:\/resourceGroups\/(?<group>[^/]+)(?:\/providers\/Microsoft\.KeyVault\/managedHSMs\/(?<name>[^/]+))?)?$/i;

/** @throws ServiceError BadParameter */
export function parseControlScope(text: string): ControlScope {
  if (text === '/') return '/';
  const { subscription = '', group, name } = FORM.exec(text)?.groups ?? {};
  if (!isGuid(subscription))
    throw new ServiceError(
      'BadParameter',
      'A scope is /, /subscriptions/{id}, or a resource group or a Managed HSM below one.',
    );
  if (group === undefined) return subscriptionScope(subscription);
  return name === undefined
    ? groupScope(subscription, group)
    : managedHsmScope(subscription, group, name);
}
