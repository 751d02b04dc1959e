import { LRUCache } from 'lru-cache';
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible';
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
  succeeded(appId: string, address: string): void;
}

export const SIGN_IN_LIMITS: SignInLimits = { perPair: 10, perAddress: 60, perApplication: 200 };

const WINDOW_SECONDS = 60;
/** Who has signed in from where in the last day. */
const KNOWN = { max: 50_000, ttl: 24 * 60 * 60_000 };

/** Counts in this process: several processes allow as many times as much. */
export function createSignInThrottle(limits: SignInLimits): SignInThrottle {
  const limiter = (points: number, keyPrefix: string) =>
    new RateLimiterMemory({ points, duration: WINDOW_SECONDS, keyPrefix });
  const pairs = limiter(limits.perPair, 'pair');
  const addresses = limiter(limits.perAddress, 'address');
  const applications = limiter(limits.perApplication, 'application');
  const known = new LRUCache<string, true>(KNOWN);

  async function requireFew(counter: RateLimiterMemory, key: string): Promise<void> {
    const count = await counter.get(key);
    if (count !== null && count.consumedPoints >= counter.points) throw tooMany(count);
  }

  return {
    async require(appId, address) {
      const place = placeOf(address);
      const pair = `${appId} ${place}`;
      await requireFew(pairs, pair);
      // Others at its address, or others who try its name, don't keep out an application that has shown who it is.
      if (known.has(pair)) return;
      await requireFew(addresses, place);
      await requireFew(applications, appId);
    },
    async failed(appId, address) {
      const place = placeOf(address);
      await Promise.all([
        pairs.penalty(`${appId} ${place}`),
        addresses.penalty(place),
        applications.penalty(appId),
      ]);
    },
    succeeded(appId, address) {
      known.set(`${appId} ${placeOf(address)}`, true);
    },
  };
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
