import type { Clock } from '../../../src/core/clock.ts';

/** A clock that stands still until it is moved. */
export class FakeClock implements Clock {
  #milliseconds: number;

  constructor(start: string) {
    this.#milliseconds = Date.parse(start);
  }

  readonly now = (): Date => new Date(this.#milliseconds);

  get seconds(): number {
    return Math.floor(this.#milliseconds / 1000);
  }

  advance(seconds: number): void {
    this.#milliseconds += seconds * 1000;
  }
}
