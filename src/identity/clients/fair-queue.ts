import { ServiceError } from '../../core/errors.ts';

/** Known parties, which have proved who they are before, go ahead of strangers. */
type QueueClass = 'known' | 'stranger';

export interface FairQueueLimits {
  readonly atOnce: number;
  /** Of each class. */
  readonly waiting: number;
}

/** Does the work, now or when its place in the queue is reached. @throws ServiceError Overloaded, where too much waits already */
export type FairQueue = <T>(
  by: { readonly of: string; readonly class: QueueClass },
  work: () => Promise<T>,
) => Promise<T>;

interface Waiting {
  readonly start: () => void;
  readonly refuse: () => void;
}

/**
 * A bounded queue in which whoever has much work waiting doesn't hold up the others: first comes one piece of work of each
 * party, then the second of each. Where the queue is full, the last piece of the party with the most gives way to one with less.
 */
export function createFairQueue(limits: FairQueueLimits): FairQueue {
  const lines = { known: createLine(limits.waiting), stranger: createLine(limits.waiting) };
  let running = 0;

  return async (by, work) => {
    if (running >= limits.atOnce) await lines[by.class].wait(by.of);
    else running += 1;
    try {
      return await work();
    } finally {
      // However many strangers come, they wait behind those who are known.
      if (!lines.known.startNext() && !lines.stranger.startNext()) running -= 1;
    }
  };
}

/** The waiting work of one class. */
function createLine(limit: number) {
  /** By party; the one that is served next stands first. */
  const queues = new Map<string, Waiting[]>();
  let waiting = 0;

  function wait(of: string): Promise<void> {
    const own = queues.get(of) ?? [];
    if (waiting >= limit) {
      const longest = [...queues.values()].reduce(
        (most, queue) => (queue.length > most.length ? queue : most),
        own,
      );
      if (longest.length <= own.length + 1) return Promise.reject(overloaded());
      longest.pop()?.refuse();
      waiting -= 1;
    }
    waiting += 1;
    queues.set(of, own);
    return new Promise<void>((start, reject) => {
      const refuse = () => {
        reject(overloaded());
      };
      own.push({ start, refuse });
    });
  }

  /** False where nobody waits. */
  function startNext(): boolean {
    for (const [of, queue] of queues) {
      queues.delete(of);
      const next = queue.shift();
      if (next === undefined) continue;
      if (queue.length > 0) queues.set(of, queue);
      waiting -= 1;
      next.start();
      return true;
    }
    return false;
  }

  return { wait, startNext };
}

function overloaded(): ServiceError {
  return new ServiceError('Overloaded', 'Too many credentials are being checked.');
}
