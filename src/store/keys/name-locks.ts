import { ServiceError } from '../../core/errors.ts';

interface Line {
  waiting: number;
  last: Promise<unknown>;
}

/** Runs what concerns one name one after the other, and what concerns different names side by side. */
export class NameLocks {
  readonly #limit: number;
  readonly #lines = new Map<string, Line>();

  /** @param limit of those that wait at one name */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @throws ServiceError Overloaded when `limit` others wait already */
  async take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(name) ?? { waiting: 0, last: Promise.resolve() };
    if (line.waiting >= this.#limit)
      throw new ServiceError('Overloaded', 'Too many changes of this key at once.');
    this.#lines.set(name, line);
    line.waiting += 1;
    const turn = line.last.then(work);
    line.last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      line.waiting -= 1;
      if (line.waiting === 0) this.#lines.delete(name);
    }
  }
}
