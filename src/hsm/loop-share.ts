/** Of one round of the event loop: more would be felt by those who ask for something else. */
const LIMIT_MS = 2;

/**
 * What calls of the HSM take of each round of the event loop: past a limit the next ones wait for the next round, so that a
 * crowd of signatures holds up nobody's reading.
 */
export class LoopShare {
  #usedMs = 0;

  get isSpent(): boolean {
    return this.#usedMs >= LIMIT_MS;
  }

  spend(ms: number): void {
    if (this.#usedMs === 0)
      setImmediate(() => {
        this.#usedMs = 0;
      });
    this.#usedMs += ms;
  }

  /** Resolves when the loop has gone round. */
  nextRound(): Promise<void> {
    return new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}
