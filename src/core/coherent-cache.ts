import { type ChangeFeed, type StateChange } from './ports.ts';
import { SieveCache } from './sieve-cache.ts';

/**
 * A bounded cache in front of the store that is believed only while the change feed is: with the feed cut off every read
 * goes to the store. A value that was being loaded while anything changed is given to its caller but not kept, since it
 * may be from before the change.
 */
export class CoherentCache<V> {
  readonly #feed: ChangeFeed;
  readonly #held: SieveCache<V>;
  #changes = 0;
  #hits = 0;
  #misses = 0;

  /**
   * @param limit of the weights of all entries together
   * @param touched which entry a change of state makes stale
   * @param weigh an entry's weight: 1 where absent
   */
  constructor(
    feed: ChangeFeed,
    limit: number,
    touched: (change: StateChange) => { readonly key: string } | 'all' | undefined,
    weigh?: (value: V) => number,
  ) {
    this.#feed = feed;
    this.#held = new SieveCache({ limit, ...(weigh !== undefined && { weigh }) });
    feed.subscribe((change) => {
      this.#changes += 1;
      const stale = change === 'everything' ? 'all' : touched(change);
      if (stale === 'all') this.#held.clear();
      else if (stale !== undefined) this.#held.delete(stale.key);
    });
  }

  get status(): { readonly size: number; readonly hits: number; readonly misses: number } {
    return { size: this.size, hits: this.#hits, misses: this.#misses };
  }

  /** The value under `key`: remembered, or loaded. An undefined value is never remembered. */
  async get(key: string, load: () => Promise<V | undefined>): Promise<V | undefined> {
    if (!this.#feed.isCoherent()) {
      this.#misses += 1;
      return load();
    }
    const held = this.#held.get(key);
    if (held !== undefined) {
      this.#hits += 1;
      return held;
    }
    this.#misses += 1;
    const before = this.#changes;
    const value = await load();
    if (value !== undefined && before === this.#changes && this.#feed.isCoherent())
      this.#held.set(key, value);
    return value;
  }

  /** What was remembered has turned out to be stale by itself. */
  forget(key: string): void {
    this.#held.delete(key);
  }

  /** What is remembered under `key` has been added to by its owner. */
  reweigh(key: string): void {
    this.#held.reweigh(key);
  }

  get size(): number {
    return this.#held.size;
  }
}
