interface Entry<V> {
  readonly value: V;
  weight: number;
  isUsed: boolean;
}

export interface SieveOptions<V> {
  /** Of the weights of all entries together. */
  readonly limit: number;
  /** An entry's weight: 1 where absent. */
  readonly weigh?: (value: V) => number;
  /** Is given each value that is no longer held. */
  readonly dispose?: (value: V, key: string) => void;
}

/**
 * A bounded map. What gives way is chosen by SIEVE (Zhang et al., NSDI 2024): a hand goes from the oldest entry to the
 * newest and round again, spares those read since it last came by and takes the first that was not. Of keys that are used
 * by Zipf's law and half of which fit it misses a seventh less than least recently used does. A hit sets a flag and moves
 * nothing, which matters in a Map of tens of thousands: one that is deleted from and added to on each hit is copied again
 * and again.
 */
export class SieveCache<V> {
  readonly #limit: number;
  readonly #weigh: (value: V) => number;
  readonly #dispose: (value: V, key: string) => void;
  readonly #entries = new Map<string, Entry<V>>();
  #hand: MapIterator<[string, Entry<V>]> = this.#entries.entries();
  #weight = 0;

  /** @throws RangeError for a limit that isn't a positive integer */
  constructor({ limit, weigh = () => 1, dispose = () => undefined }: SieveOptions<V>) {
    if (!Number.isInteger(limit) || limit < 1)
      throw new RangeError('a cache holds at least one entry');
    this.#limit = limit;
    this.#weigh = weigh;
    this.#dispose = dispose;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    entry.isUsed = true;
    return entry.value;
  }

  /** Like `get`, but doesn't count as a use. */
  peek(key: string): V | undefined {
    return this.#entries.get(key)?.value;
  }

  /** What alone is heavier than the limit is disposed of at once. */
  set(key: string, value: V): void {
    const weight = this.#weigh(value);
    this.delete(key);
    if (weight > this.#limit) {
      this.#dispose(value, key);
      return;
    }
    this.#makeRoom(weight);
    this.#entries.set(key, { value, weight, isUsed: false });
    this.#weight += weight;
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#weight -= entry.weight;
    this.#dispose(entry.value, key);
  }

  clear(): void {
    const entries = [...this.#entries];
    this.#entries.clear();
    this.#weight = 0;
    for (const [key, { value }] of entries) this.#dispose(value, key);
  }

  /** The value under `key` has been added to by its owner. */
  reweigh(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#weight -= entry.weight;
    entry.weight = this.#weigh(entry.value);
    this.#weight += entry.weight;
    this.#makeRoom(0);
  }

  /** Each entry that is spared was used since the last time: the hand's way costs no more than the hits did. */
  #makeRoom(weight: number): void {
    while (this.#weight + weight > this.#limit) {
      const next = this.#hand.next();
      if (next.done === true) {
        this.#hand = this.#entries.entries();
        continue;
      }
      const [key, entry] = next.value;
      if (!entry.isUsed) this.delete(key);
      entry.isUsed = false;
    }
  }
}
