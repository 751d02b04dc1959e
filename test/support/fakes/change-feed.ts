import { type ChangeFeed, type StateChange } from '../../../src/core/state-change.ts';

type Change = StateChange | 'everything';

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

  tell(change: Change): void {
    for (const listener of this.#listeners) listener(change);
  }
}
