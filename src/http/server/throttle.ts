import type { RequestHandler, Response } from 'express';
import { LRUCache } from 'lru-cache';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { placeOf } from '../../core/address-place.ts';
import { ServiceError } from '../../core/errors.ts';
import { contextOf } from '../context.ts';

/** Requests a second, of each process. */
export interface RequestLimits {
  readonly perPrincipal: number;
  readonly perAddress: number;
  /** Credentials of one address that were refused: more, and it has to wait before the next one is looked at. */
  readonly refusedCredentials: number;
}

export interface Throttle {
  /** Before anything else is done for a request. */
  readonly byAddress: RequestHandler;
  /** @throws ServiceError Overloaded, for a client that is over the limit */
  requirePrincipal(objectId: string): Promise<void>;
  /** A credential from there was refused. */
  countRefusal(address: string | undefined): Promise<void>;
}

const WINDOW_SECONDS = 1;
/** Addresses whose refusals are put together in the audit log. */
const REMEMBERED = 10_000;
const UNKNOWN = 'unknown';

interface Recorded {
  readonly at: number;
  /** Refusals since then that left no record. */
  more: number;
}

/**
 * Keeps one client from taking what belongs to all. Who is over a limit gets 429 until the second is over; what a stranger
 * sends then costs no check of a signature, and one record a second at most, which says how many there were besides.
 * @param isKnown whether a credential was found good before: it is let through where others of its address, which may be
 * that of a proxy, send bad ones
 */
export function createThrottle(
  limits: RequestLimits,
  isKnown: (authorization: string) => boolean,
): Throttle {
  const limiter = (points: number, keyPrefix: string) =>
    new RateLimiterMemory({ points, duration: WINDOW_SECONDS, keyPrefix });
  const addresses = limiter(limits.perAddress, 'address');
  const principals = limiter(limits.perPrincipal, 'principal');
  const refused = limiter(limits.refusedCredentials, 'refused');
  const recorded = new LRUCache<string, Recorded>({ max: REMEMBERED });

  /** The first of a second is recorded; the others are the same again. */
  function recordOnce(res: Response, address: string): void {
    const now = performance.now();
    const before = recorded.get(address);
    if (before !== undefined && now - before.at < WINDOW_SECONDS * 1000) {
      before.more += 1;
      return;
    }
    recorded.set(address, { at: now, more: 0 });
    const context = contextOf(res);
    const more = before?.more ?? 0;
    context.audited = true;
    context.audit.note({
      operation: 'Throttled',
      ...(more > 0 && { reason: `${String(more)} more of this address since its last record.` }),
    });
  }

  return {
    byAddress: async (req, res, next) => {
      const address = placeOf(req.socket.remoteAddress ?? UNKNOWN);
      if (!(await isWithin(addresses, address))) {
        recordOnce(res, address);
        throw tooMany('from this address');
      }
      const refusals = await refused.get(address);
      const { authorization } = req.headers;
      if (
        authorization !== undefined &&
        (refusals?.consumedPoints ?? 0) >= limits.refusedCredentials &&
        !isKnown(authorization)
      ) {
        recordOnce(res, address);
        throw tooMany('with credentials that were refused');
      }
      next();
    },

    async requirePrincipal(objectId) {
      if (!(await isWithin(principals, objectId))) throw tooMany('by this principal');
    },
    async countRefusal(address) {
      await isWithin(refused, placeOf(address ?? UNKNOWN));
    },
  };
}

async function isWithin(limiter: RateLimiterMemory, key: string): Promise<boolean> {
  try {
    await limiter.consume(key);
    return true;
  } catch (error) {
    if (error instanceof Error) throw error;
    return false;
  }
}

function tooMany(what: string): ServiceError {
  return new ServiceError('Overloaded', `Too many requests ${what}.`);
}
