/**
 * Asks whether the token still does its work. Whoever is in doubt shares one answer with others, which was asked for after
 * his doubt arose: however many fail at once, one probe runs at a time.
 */
export class TokenProbe {
  readonly #probe: () => Promise<boolean>;
  #running: Promise<boolean> | undefined;
  #next: Promise<boolean> | undefined;

  constructor(probe: () => Promise<boolean>) {
    this.#probe = probe;
  }

  isWell(): Promise<boolean> {
    if (this.#running === undefined) return this.#start();
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      return this.#running ?? this.#start();
    });
    return this.#next;
  }

  #start(): Promise<boolean> {
    const running = this.#probe().finally(() => {
      this.#running = undefined;
    });
    this.#running = running;
    return running;
  }
}
