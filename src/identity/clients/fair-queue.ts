import { ServiceError } from '../../core/errors.ts';

/** Whether whoever it is has been known to be honest: those go first. */
type QueueClass = 'known' | 'stranger';

export interface FairQueueLimits {
  readonly atOnce: number;
  /** Of each class. */
  readonly waiting: number;
}

/** Does work, or has it wait until others are done. @throws ServiceError Overloaded, where too much waits already */
export type FairQueue = <T>(
  by: { readonly of: string; readonly class: QueueClass },
  work: () => Promise<T>,
) => Promise<T>;

interface Waiting {
  readonly start: () => void;
  readonly refuse: () => void;
}

/**
 * Bounded work in turns: who has much waiting doesn't keep others from theirs. One of each goes first, then the second of
 * each; where the queue is full, the last one of who has the most waiting gives way to who has less.
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

/** Those of one class who wait. */
function createLine(limit: number) {
  /** By whose it is; whose turn is next stands first. */
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
