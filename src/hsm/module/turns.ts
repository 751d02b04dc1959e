import { ServiceError } from '../../core/errors.ts';

/** Runs one thing at a time, in order, and refuses when too many wait. */
export class Turns {
  readonly #limit: number;
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @throws ServiceError HsmBusy when `limit` others wait already */
  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= this.#limit)
      throw new ServiceError('HsmBusy', 'Too many operations wait for the HSM.');
    this.#waiting += 1;
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
    }
  }
}
