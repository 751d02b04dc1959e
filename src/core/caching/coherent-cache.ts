import { FreshReads } from './fresh-reads.ts';
import type { ChangeFeed, StateChange } from './change-feed.ts';
import { SieveCache } from './sieve-cache.ts';

interface Load {
  value: Promise<unknown>;
  readonly tags: readonly string[];
  /** What it brings may be from before a change that has been published meanwhile. */
  isStale: boolean;
}

/**
 * A bounded cache in front of the store that is believed only while the change feed is: with the feed cut off every read
 * goes to the store. Who asks for what is being loaded waits for that load, unless a change has made it stale. A value that
 * was being loaded while it changed is given to those who came before the change, and not kept.
 *
 * The fetchMethod of lru-cache 11 doesn't do: a load under way takes a held value's place, a deleted one that finds nothing
 * rejects, parts of an entry can't be loaded each for itself, and what gives way is chosen worse (see SieveCache).
 */
export class CoherentCache<V> {
  readonly #feed: ChangeFeed;
  readonly #held: SieveCache<V>;
  /** Loads that whoever comes may share: none is stale. */
  readonly #loads = new Map<string, Load>();
  readonly #fresh = new FreshReads<V | undefined>();
  /** The tags of entries that have others than their key, and the keys of each. */
  readonly #tags = new Map<string, readonly string[]>();
  readonly #tagged = new Map<string, Set<string>>();
  #hits = 0;
  #misses = 0;

  /**
   * @param limit of the weights of all entries together
   * @param touched the tag of the entries that a change of state makes stale; an entry's tag is its key where it has no other
   * @param weigh an entry's weight: 1 where absent
   */
  constructor(
    feed: ChangeFeed,
    limit: number,
    touched: (change: StateChange) => { readonly key: string } | 'all' | undefined,
    weigh?: (value: V) => number,
  ) {
    this.#feed = feed;
    this.#held = new SieveCache({
      limit,
      ...(weigh !== undefined && { weigh }),
      dispose: (_value, key) => {
        this.#untag(key);
      },
    });
    feed.subscribe((change) => {
      const stale = change === 'reset' ? 'all' : touched(change);
      if (stale === undefined) return;
      for (const [name, load] of this.#loads)
        if (stale === 'all' || load.tags.includes(stale.key)) {
          load.isStale = true;
          this.#loads.delete(name);
        }
      if (stale === 'all') this.#held.clear();
      else {
        this.#held.delete(stale.key);
        for (const key of [...(this.#tagged.get(stale.key) ?? [])]) this.#held.delete(key);
      }
    });
  }

  get status(): { readonly size: number; readonly hits: number; readonly misses: number } {
    return { size: this.size, hits: this.#hits, misses: this.#misses };
  }

  /** The value under `key`: remembered, or loaded. An undefined value is never remembered. */
  async get(
    key: string,
    load: () => Promise<V | undefined>,
    tags: readonly string[] = [key],
  ): Promise<V | undefined> {
    const isCoherent = this.#feed.isCoherent();
    const held = isCoherent ? this.#held.get(key) : undefined;
    if (held !== undefined) {
      this.#hits += 1;
      return held;
    }
    this.#misses += 1;
    if (!isCoherent) return load();
    return this.#share(key, tags, load, (value) => {
      this.#keep(key, value, tags);
    });
  }

  /** The value under `key` as it is now: read after this was called, by a read that several share. It is remembered then. */
  renew(
    key: string,
    load: () => Promise<V | undefined>,
    tags: readonly string[] = [key],
  ): Promise<V | undefined> {
    this.#misses += 1;
    return this.#fresh.read(key, () =>
      this.#begin(key, tags, load, (value) => {
        this.#keep(key, value, tags);
      }),
    );
  }

  /** Like `get`, where what is remembered under `key` has parts of which each is loaded for itself. */
  async getPart<Part>(
    key: string,
    part: string,
    of: {
      readonly find: (held: V) => Part | undefined;
      readonly load: () => Promise<Part | undefined>;
      /** Gives back what holds the part from now on: the same object where there is one. */
      readonly add: (held: V | undefined, part: Part) => V;
    },
  ): Promise<Part | undefined> {
    const isCoherent = this.#feed.isCoherent();
    const held = isCoherent ? this.#held.get(key) : undefined;
    const known = held && of.find(held);
    if (known !== undefined) {
      this.#hits += 1;
      return known;
    }
    this.#misses += 1;
    if (!isCoherent) return of.load();
    return this.#share(`${key}\0${part}`, [key], of.load, (loaded) => {
      const before = this.#held.peek(key);
      const after = of.add(before, loaded);
      if (before === undefined) this.#held.set(key, after);
      else this.#held.reweigh(key);
    });
  }

  /** What was remembered has turned out to be stale by itself. */
  forget(key: string): void {
    this.#held.delete(key);
  }

  get size(): number {
    return this.#held.size;
  }

  async #share<T>(
    name: string,
    tags: readonly string[],
    load: () => Promise<T | undefined>,
    keep: (value: T) => void,
  ): Promise<T | undefined> {
    const underWay = this.#loads.get(name);
    if (underWay === undefined) return this.#begin(name, tags, load, keep);
    const value = (await underWay.value) as T | undefined;
    // That something isn't there is believed only of a load that began after one asked: it may have been made meanwhile.
    return value ?? this.#begin(name, tags, load, keep);
  }

  async #begin<T>(
    name: string,
    tags: readonly string[],
    read: () => Promise<T | undefined>,
    keep: (value: T) => void,
  ): Promise<T | undefined> {
    const load: Load = { value: Promise.resolve(), tags, isStale: false };
    // What an older load brings must not take the place of what this one does.
    const older = this.#loads.get(name);
    if (older !== undefined) older.isStale = true;
    // Before the read begins: it may be stale as soon as it has.
    this.#loads.set(name, load);
    try {
      const value = read();
      load.value = value;
      const loaded = await value;
      if (loaded !== undefined && !load.isStale && this.#feed.isCoherent()) keep(loaded);
      return loaded;
    } finally {
      if (this.#loads.get(name) === load) this.#loads.delete(name);
    }
  }

  #keep(key: string, value: V, tags: readonly string[]): void {
    this.#held.set(key, value);
    if (this.#held.peek(key) !== value || (tags.length === 1 && tags[0] === key)) return;
    this.#tags.set(key, tags);
    for (const tag of tags) {
      const keys = this.#tagged.get(tag);
      if (keys === undefined) this.#tagged.set(tag, new Set([key]));
      else keys.add(key);
    }
  }

  #untag(key: string): void {
    const tags = this.#tags.get(key);
    if (tags === undefined) return;
    this.#tags.delete(key);
    for (const tag of tags) {
      const keys = this.#tagged.get(tag);
      keys?.delete(key);
      if (keys?.size === 0) this.#tagged.delete(tag);
    }
  }
}
