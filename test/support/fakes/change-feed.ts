import type { ChangeFeed, StateChange } from '../../../src/core/caching/change-feed.ts';

type Change = StateChange | 'reset';

/** A feed that is coherent until it is cut off, and tells what it is given. */
export class FakeChangeFeed implements ChangeFeed {
  readonly #listeners: ((change: Change) => void)[] = [];
  coherent = true;

  isCoherent(): boolean {
    return this.coherent;
  }

  subscribe(listener: (change: Change) => void): void {
    this.#listeners.push(listener);
  }

  publish(change: Change): void {
    for (const listener of this.#listeners) listener(change);
  }
}
