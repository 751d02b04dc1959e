import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { RateLimiterAbstract, RateLimiterRes } from 'rate-limiter-flexible';
import { placeOf } from '../../core/address-place.ts';
import { Refusal } from '../refusal.ts';

/** Refused credentials in a minute, after which the next ones aren't looked at. */
export interface SignInLimits {
  /** For one application, from one address. */
  readonly perPair: number;
  /** From one address, whatever the application. */
  readonly perAddress: number;
  /** For one application, from all addresses that it has not lately signed in from. */
  readonly perApplication: number;
}

/** Slows down clients that guess credentials, without locking out the application whose credentials they guess. */
export interface SignInThrottle {
  /** @throws Refusal 429 with Retry-After, before anything is spent on the credential */
  require(appId: string, address: string): Promise<void>;
  failed(appId: string, address: string): Promise<void>;
  succeeded(appId: string, address: string): Promise<void>;
}

export const SIGN_IN_LIMITS: SignInLimits = { perPair: 10, perAddress: 60, perApplication: 200 };

const WINDOW_SECONDS = 60;
const KNOWN_SECONDS = 24 * 60 * 60;
/** What this process remembers of those that are known, to save a question. */
const REMEMBERED = { max: 50_000, ttl: (KNOWN_SECONDS / 2) * 1000 };

/** Makes a counter of so many points in so long, which the processes that are to count together share by its name. */
export type NewCounter = (options: {
  readonly name: string;
  readonly points: number;
  readonly durationSeconds: number;
}) => RateLimiterAbstract;

export function createSignInThrottle(limits: SignInLimits, newCounter: NewCounter): SignInThrottle {
  const perMinute = (points: number, name: string) =>
    newCounter({ name, points, durationSeconds: WINDOW_SECONDS });
  const pairs = perMinute(limits.perPair, 'pair');
  const addresses = perMinute(limits.perAddress, 'address');
  const applications = perMinute(limits.perApplication, 'application');
  /** Who has signed in from where in the last day. */
  const known = newCounter({ name: 'known', points: 1, durationSeconds: KNOWN_SECONDS });
  const remembered = new LRUCache<string, true>(REMEMBERED);

  async function requireFew(counter: RateLimiterAbstract, key: string): Promise<void> {
    const count = await counter.get(key);
    if (count !== null && count.consumedPoints >= counter.points) throw tooMany(count);
  }

  async function isKnown(pair: string): Promise<boolean> {
    if (remembered.has(pair)) return true;
    if ((await known.get(pair)) === null) return false;
    remembered.set(pair, true);
    return true;
  }

  return {
    async require(appId, address) {
      const { pair, place, application } = keysOf(appId, address);
      await requireFew(pairs, pair);
      // Others at its address, or others who try its name, don't keep out an application that has shown who it is.
      if (await isKnown(pair)) return;
      await requireFew(addresses, place);
      await requireFew(applications, application);
    },
    async failed(appId, address) {
      const { pair, place, application } = keysOf(appId, address);
      await Promise.all([
        pairs.penalty(pair),
        addresses.penalty(place),
        applications.penalty(application),
      ]);
    },
    async succeeded(appId, address) {
      const { pair } = keysOf(appId, address);
      if (remembered.has(pair)) return;
      remembered.set(pair, true);
      await known.set(pair, 1, KNOWN_SECONDS);
    },
  };
}

/** Digests: what is counted is on record elsewhere, and callers choose how long their names are. */
function keysOf(appId: string, address: string) {
  const place = placeOf(address);
  return { pair: digest(`${appId} ${place}`), place: digest(place), application: digest(appId) };
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

function tooMany({ msBeforeNext }: RateLimiterRes): Refusal {
  return new Refusal(
    429,
    'temporarily_unavailable',
    50196,
    'Too many credentials were refused: wait before the next one.',
    { 'Retry-After': String(Math.max(1, Math.ceil(msBeforeNext / 1000))) },
  );
}
