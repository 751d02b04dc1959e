import { ServiceError } from '../errors.ts';

/** Reads under way at once, and keys that wait for theirs. */
const LIMITS = { atOnce: 2, waiting: 1_000 };

/**
 * Reads that are never older than who asks for them. Of one key there is one read at a time; whoever comes while it is
 * under way shares the next one, which begins when it has ended. However many are refused, and ask for what they were
 * refused by to be read again, they make no more reads than that.
 */
export class FreshReads<V> {
  /** Reads that have not begun. */
  readonly #waiting = new Map<string, Promise<V>>();
  readonly #underWay = new Map<string, Promise<V>>();
  readonly #starts: (() => void)[] = [];
  #running = 0;

  /** @throws ServiceError Overloaded where too many keys wait already, and what `load` throws */
  read(key: string, load: () => Promise<V>): Promise<V> {
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) return waiting;
    if (this.#waiting.size >= LIMITS.waiting)
      return Promise.reject(new ServiceError('Overloaded', 'Too many requests are being refused.'));
    const reading = this.#readNext(key, load);
    this.#waiting.set(key, reading);
    return reading;
  }

  async #readNext(key: string, load: () => Promise<V>): Promise<V> {
    await this.#underWay.get(key)?.catch(() => undefined);
    if (this.#running < LIMITS.atOnce) this.#running += 1;
    else await new Promise<void>((start) => this.#starts.push(start));
    // From here on it may be older than who comes.
    this.#waiting.delete(key);
    try {
      const reading = load();
      this.#underWay.set(key, reading);
      return await reading;
    } finally {
      this.#underWay.delete(key);
      const next = this.#starts.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
