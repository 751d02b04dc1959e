import type { RootKeys } from './root-keys.ts';

/** Root keys that aren't there are looked for again after so long. Milliseconds. */
const LOOK_AGAIN_AFTER_MS = 1_000;

/** A pool has two or three. */
const REMEMBERED = 20;

type Search = (poolId: string, generation: number) => Promise<RootKeys | undefined>;

interface Found {
  readonly rootKeys: Promise<RootKeys | undefined>;
  readonly at: number;
}

/** Root keys that aren't the current ones, of this pool or another: each generation is looked for once, when it is needed. */
export class Generations {
  readonly #search: Search;
  readonly #found = new Map<string, Found>();

  constructor(search: Search) {
    this.#search = search;
  }

  /** Undefined where the token doesn't hold them. */
  async find(poolId: string, generation: number): Promise<RootKeys | undefined> {
    if (!(Number.isInteger(generation) && generation > 0)) return undefined;
    const name = `${poolId} ${generation}`;
    const known = this.#found.get(name);
    if (known !== undefined) {
      const rootKeys = await known.rootKeys;
      if (rootKeys !== undefined || performance.now() - known.at < LOOK_AGAIN_AFTER_MS)
        return rootKeys;
    }
    if (this.#found.size >= REMEMBERED) this.#found.clear();
    const found = { rootKeys: this.#search(poolId, generation), at: performance.now() };
    this.#found.set(name, found);
    // Whoever comes next asks anew.
    found.rootKeys.catch(() => {
      if (this.#found.get(name) === found) this.#found.delete(name);
    });
    return found.rootKeys;
  }

  /** Handles of root keys may have become void: they are looked for anew. */
  clear(): void {
    this.#found.clear();
  }
}
