import { setTimeout as delay } from 'node:timers/promises';
import { ServiceError } from '../core/errors.ts';
import { damageOf } from './errors.ts';

export interface SessionPoolOptions<Session> {
  readonly open: () => Session;
  /** Sessions at most. */
  readonly size: number;
  /** How long a caller waits for a session before HsmBusy. */
  readonly waitMs: number;
  /** How many callers may wait; more get HsmBusy at once. */
  readonly waitingLimit: number;
  /** All are opened at once, where that takes its time. */
  readonly opensAhead?: boolean;
}

const CLOSE_CHECK_MS = 10;

interface Waiting<Session> {
  readonly give: (session: Session) => void;
  readonly refuse: (error: unknown) => void;
  readonly limit: NodeJS.Timeout;
}

/**
 * A bounded pool with one exclusive lease an operation, held over Init and the final call: two operations on one session
 * at once answer CKR_OPERATION_ACTIVE or, worse, each other's results. Sessions are opened when first needed and are not
 * probed when borrowed (a probe took "nearly a full second" on a network HSM); one that fails is dropped instead.
 */
export class SessionPool<Session extends { close(): void }> {
  readonly #options: SessionPoolOptions<Session>;
  readonly #idle: Session[] = [];
  readonly #waiting: Waiting<Session>[] = [];
  #open = 0;
  #isClosed = false;

  constructor(options: SessionPoolOptions<Session>) {
    if (!Number.isInteger(options.size) || options.size < 1)
      throw new RangeError('a session pool has at least one session');
    this.#options = options;
    for (; options.opensAhead === true && this.#open < options.size; this.#open += 1)
      this.#idle.push(options.open());
  }

  /** Runs `use` with a session of its own. @throws ServiceError HsmBusy when none comes free in time */
  async withSession<T>(use: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.#lease();
    try {
      const result = await use(session);
      this.#giveBack(session);
      return result;
    } catch (error) {
      // After HsmUnavailable a call may still be running on it: that session is never used again.
      const isSuspect =
        error instanceof ServiceError
          ? error.code === 'HsmUnavailable'
          : damageOf(error) !== 'other';
      if (isSuspect) this.#drop(session);
      else this.#giveBack(session);
      throw error;
    }
  }

  get status(): { open: number; inUse: number; waiting: number } {
    return {
      open: this.#open,
      inUse: this.#open - this.#idle.length,
      waiting: this.#waiting.length,
    };
  }

  /** Refuses who waits, and closes what is idle; resolves when the leased sessions have come back and are closed too. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const waiting of this.#waiting.splice(0)) {
      clearTimeout(waiting.limit);
      waiting.refuse(new ServiceError('HsmUnavailable', 'The connection to the HSM is closed.'));
    }
    for (const session of this.#idle.splice(0)) this.#drop(session);
    while (this.#open > 0) await delay(CLOSE_CHECK_MS);
  }

  #lease(): Promise<Session> | Session {
    if (this.#isClosed)
      throw new ServiceError('HsmUnavailable', 'The connection to the HSM is closed.');
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    if (this.#open < this.#options.size) {
      const session = this.#options.open();
      this.#open += 1;
      return session;
    }
    if (this.#waiting.length >= this.#options.waitingLimit)
      throw new ServiceError('HsmBusy', 'Too many operations wait for the HSM.');
    return new Promise((resolve, reject) => {
      const waiting: Waiting<Session> = {
        give: resolve,
        refuse: reject,
        limit: setTimeout(() => {
          this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
          reject(new ServiceError('HsmBusy', 'No session of the HSM came free in time.'));
        }, this.#options.waitMs),
      };
      this.#waiting.push(waiting);
    });
  }

  #giveBack(session: Session): void {
    if (this.#isClosed) {
      this.#drop(session);
      return;
    }
    const next = this.#waiting.shift();
    if (next === undefined) {
      this.#idle.push(session);
      return;
    }
    clearTimeout(next.limit);
    next.give(session);
  }

  #drop(session: Session): void {
    this.#open -= 1;
    try {
      session.close();
    } catch {
      // It is gone already, which is why it is dropped.
    }
    const next = this.#waiting.shift();
    if (next === undefined) return;
    clearTimeout(next.limit);
    try {
      const fresh = this.#options.open();
      this.#open += 1;
      next.give(fresh);
    } catch (error) {
      next.refuse(error);
    }
  }
}
