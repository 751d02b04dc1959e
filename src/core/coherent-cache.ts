import { type ChangeFeed, type StateChange } from './ports.ts';

/**
 * A bounded cache in front of the store that is believed only while the change feed is: with the feed cut off every read
 * goes to the store. A value that was being loaded while anything changed is given to its caller but not kept, since it
 * may be from before the change.
 */
export class CoherentCache<V> {
  readonly #feed: ChangeFeed;
  readonly #limit: number;
  readonly #entries = new Map<string, V>();
  #changes = 0;
  #hits = 0;
  #misses = 0;

  /**
   * @param limit entries at most; the one least recently used gives way
   * @param touched which entry a change of state makes stale
   */
  constructor(
    feed: ChangeFeed,
    limit: number,
    touched: (change: StateChange) => { readonly key: string } | 'all' | undefined,
  ) {
    if (!Number.isInteger(limit) || limit < 1)
      throw new RangeError('a cache holds at least one entry');
    this.#feed = feed;
    this.#limit = limit;
    feed.subscribe((change) => {
      this.#changes += 1;
      const stale = change === 'everything' ? 'all' : touched(change);
      if (stale === 'all') this.#entries.clear();
      else if (stale !== undefined) this.#entries.delete(stale.key);
    });
  }

  get status(): { readonly size: number; readonly hits: number; readonly misses: number } {
    return { size: this.#entries.size, hits: this.#hits, misses: this.#misses };
  }

  /** The value under `key`: remembered, or loaded. An undefined value is never remembered. */
  async get(key: string, load: () => Promise<V | undefined>): Promise<V | undefined> {
    if (!this.#feed.isCoherent()) {
      this.#misses += 1;
      return load();
    }
    const held = this.#entries.get(key);
    if (held !== undefined) {
      this.#hits += 1;
      this.#entries.delete(key);
      this.#entries.set(key, held);
      return held;
    }
    this.#misses += 1;
    const before = this.#changes;
    const value = await load();
    if (value !== undefined && before === this.#changes && this.#feed.isCoherent()) {
      this.#entries.set(key, value);
      if (this.#entries.size > this.#limit) {
        const oldest = this.#entries.keys().next();
        if (!oldest.done) this.#entries.delete(oldest.value);
      }
    }
    return value;
  }

  /** What was remembered has turned out to be stale by itself. */
  forget(key: string): void {
    this.#entries.delete(key);
  }

  get size(): number {
    return this.#entries.size;
  }
}
