import { ServiceError } from '../../core/errors.ts';
import { FairQueue } from '../../core/fair-queue.ts';

export interface GenerationLimits {
  /** Keys that one party may have under way and waiting. */
  readonly ofOne: number;
  /** Keys that may wait. */
  readonly waiting: number;
  /** How long one may wait for its turn. */
  readonly waitMs: number;
}

interface Waiting {
  readonly start: () => void;
  readonly refuse: (error: ServiceError) => void;
}

/** The service itself: the keys by which it signs, and rotation by policy. */
const SERVICE = '';

/**
 * Keys are made one at a time, since that takes long: so it never holds more than one of the sessions, and in turn for
 * whom they are made, so that nobody waits for more than one key of each of the others.
 */
export class GenerationQueue {
  readonly #limits: GenerationLimits;
  readonly #lines = new FairQueue<Waiting>();
  #isBusy = false;
  /** For whom a key is being made. */
  #current: string | undefined;

  constructor(limits: GenerationLimits) {
    this.#limits = limits;
  }

  /** @throws ServiceError Overloaded for a party that has too many under way, HsmBusy where too many wait or for too long */
  async take<T>(by: string | undefined, make: () => Promise<T>): Promise<T> {
    const of = by ?? SERVICE;
    if (this.#isBusy) await this.#wait(of);
    this.#isBusy = true;
    this.#current = of;
    try {
      return await make();
    } finally {
      this.#current = undefined;
      const next = this.#lines.shift();
      this.#isBusy = next !== undefined;
      next?.start();
    }
  }

  #wait(of: string): Promise<void> {
    const { ofOne, waiting, waitMs } = this.#limits;
    const underWay = this.#lines.lengthOf(of) + Number(this.#current === of);
    if (of !== SERVICE && underWay >= ofOne)
      throw new ServiceError(
        'Overloaded',
        `Too many keys are being made for this principal: ${ofOne} at once is the limit.`,
      );
    if (this.#lines.size >= waiting) {
      const last = this.#lines.giveWay(of);
      if (last === undefined) throw busy();
      last.refuse(busy());
    }
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => {
        this.#lines.remove(of, entry);
        reject(busy());
      }, waitMs);
      const entry: Waiting = {
        start: () => {
          clearTimeout(limit);
          resolve();
        },
        refuse: (error) => {
          clearTimeout(limit);
          reject(error);
        },
      };
      this.#lines.push(of, entry);
    });
  }
}

function busy(): ServiceError {
  return new ServiceError('HsmBusy', 'Too many keys are being made.');
}
