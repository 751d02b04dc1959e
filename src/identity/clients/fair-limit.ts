import { ServiceError } from '../../core/errors.ts';
import { FairQueue } from '../../core/fair-queue.ts';

/** Known parties, which have proved who they are before, go ahead of strangers. */
type PartyClass = 'known' | 'stranger';

interface FairLimits {
  readonly atOnce: number;
  /** Of each class. */
  readonly waiting: number;
}

/** Does the work, now or when its place in the queue is reached. @throws ServiceError Overloaded, where too much waits already */
type FairLimit = <T>(
  by: { readonly of: string; readonly class: PartyClass },
  work: () => Promise<T>,
) => Promise<T>;

interface Waiting {
  readonly start: () => void;
  readonly refuse: () => void;
}

/**
 * Does so much work at once. The rest waits in a bounded queue in which whoever has much work waiting doesn't hold up the
 * others; where it is full, the last piece of the party with the most gives way to one with less.
 */
export function createFairLimit(limits: FairLimits): FairLimit {
  const queues = { known: new FairQueue<Waiting>(), stranger: new FairQueue<Waiting>() };
  let running = 0;

  function wait(queue: FairQueue<Waiting>, of: string): Promise<void> {
    if (queue.size >= limits.waiting) {
      const last = queue.giveWay(of);
      if (last === undefined) return Promise.reject(overloaded());
      last.refuse();
    }
    return new Promise<void>((start, reject) => {
      const refuse = () => {
        reject(overloaded());
      };
      queue.push(of, { start, refuse });
    });
  }

  return async (by, work) => {
    if (running >= limits.atOnce) await wait(queues[by.class], by.of);
    else running += 1;
    try {
      return await work();
    } finally {
      // However many strangers come, they wait behind those who are known.
      const next = queues.known.shift() ?? queues.stranger.shift();
      if (next === undefined) running -= 1;
      else next.start();
    }
  };
}

function overloaded(): ServiceError {
  return new ServiceError('Overloaded', 'Too many credentials are being checked.');
}
