import { addDuration, parseDuration } from './duration.ts';
import { ServiceError } from '../../errors.ts';
import type { KeyAttributes } from '../key.ts';

/** When a key gets a new version, when its owners are notified, and how long a version made by rotation is valid. */
export interface RotationPolicy {
  readonly actions: readonly LifetimeAction[];
  /** ISO 8601 duration from a version's creation to its expiry. */
  readonly expiryTime?: string;
  /** Seconds since 1970-01-01 UTC. */
  readonly created: number;
  readonly updated: number;
}

export interface LifetimeAction {
  readonly type: 'Rotate' | 'Notify';
  readonly trigger: 'timeAfterCreate' | 'timeBeforeExpiry';
  /** ISO 8601 duration. */
  readonly time: string;
}

export interface RequestedRotationPolicy {
  readonly actions: readonly {
    readonly type: string;
    readonly timeAfterCreate?: string | undefined;
    readonly timeBeforeExpiry?: string | undefined;
  }[];
  readonly expiryTime?: string | undefined;
}

/** What Managed HSM allows at the least between two versions. */
const SHORTEST_INTERVAL = { months: 0, days: 28 };

/**
 * The rules of Managed HSM's rotation policies: one action of a kind, one trigger an action, at least 28 days from
 * creation to rotation and to expiry. Undefined for a blank policy, which takes the present one away.
 * @param now seconds since 1970-01-01 UTC
 * @throws ServiceError BadParameter
 */
export function parseRotationPolicy(
  { actions, expiryTime }: RequestedRotationPolicy,
  now: number,
): Omit<RotationPolicy, 'created' | 'updated'> | undefined {
  if (actions.length === 0 && expiryTime === undefined) return undefined;
  const soonest = addDuration(now, SHORTEST_INTERVAL, 1);
  const after = (property: string, time: string) =>
    addDuration(now, parseDuration(property, time), 1);
  const expiry = expiryTime === undefined ? undefined : after('expiryTime', expiryTime);
  if (expiry !== undefined && expiry < soonest) throw tooShort('expiryTime');
  const parsed = actions.map(parseAction);
  if (new Set(parsed.map(({ type }) => type)).size < parsed.length)
    throw wrong('lifetimeActions', 'it can have one Rotate and one Notify');
  for (const { type, trigger, time } of parsed) {
    const span = parseDuration(trigger, time);
    if (trigger === 'timeAfterCreate') {
      const due = after(trigger, time);
      if (due < soonest) throw tooShort(trigger);
      if (expiry !== undefined && due > expiry)
        throw wrong(trigger, 'it is longer than expiryTime');
    } else if (expiry === undefined) {
      // Without an expiry of its own the version that a rotation makes would never be rotated again.
      if (type === 'Rotate') throw wrong(trigger, 'a rotation before expiry needs expiryTime');
    } else if (addDuration(expiry, span, -1) < soonest)
      throw wrong(trigger, 'it must leave at least 28 days (P28D) of expiryTime');
  }
  return { actions: parsed, ...(expiryTime !== undefined && { expiryTime }) };
}

function parseAction(requested: RequestedRotationPolicy['actions'][number]): LifetimeAction {
  const type = (['Rotate', 'Notify'] as const).find(
    (known) => known.toLowerCase() === requested.type.toLowerCase(),
  );
  if (type === undefined) throw wrong('action.type', 'it must be Rotate or Notify');
  const { timeAfterCreate, timeBeforeExpiry } = requested;
  if (timeAfterCreate !== undefined && timeBeforeExpiry === undefined)
    return { type, trigger: 'timeAfterCreate', time: timeAfterCreate };
  if (timeBeforeExpiry !== undefined && timeAfterCreate === undefined)
    return { type, trigger: 'timeBeforeExpiry', time: timeBeforeExpiry };
  throw wrong('trigger', 'it must have one of timeAfterCreate and timeBeforeExpiry');
}

/** When the newest version of a key is due for an action; absent: never. Seconds since 1970-01-01 UTC. */
export interface DueTimes {
  readonly rotateAt?: number;
  readonly notifyAt?: number;
}

/** A disabled version is not rotated: its successor would be enabled, and undo what somebody meant. */
export function dueTimes({ actions }: RotationPolicy, newest: KeyAttributes): DueTimes {
  const at = (type: LifetimeAction['type']) => {
    const action = actions.find((candidate) => candidate.type === type);
    if (action === undefined || !newest.enabled) return undefined;
    const span = parseDuration(action.trigger, action.time);
    if (action.trigger === 'timeAfterCreate') return addDuration(newest.created, span, 1);
    return newest.expires === undefined ? undefined : addDuration(newest.expires, span, -1);
  };
  const [rotateAt, notifyAt] = [at('Rotate'), at('Notify')];
  return {
    ...(rotateAt !== undefined && { rotateAt }),
    ...(notifyAt !== undefined && { notifyAt }),
  };
}

/** When a version expires that is made now under a policy. */
export function expiryOf(policy: RotationPolicy | undefined, now: number): number | undefined {
  if (policy?.expiryTime === undefined) return undefined;
  return addDuration(now, parseDuration('expiryTime', policy.expiryTime), 1);
}

function tooShort(property: string): ServiceError {
  return wrong(property, 'it must be at least 28 days (P28D)');
}

function wrong(property: string, why: string): ServiceError {
  return new ServiceError('BadParameter', `Property ${property} has an invalid value: ${why}.`);
}
