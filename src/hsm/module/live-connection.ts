import { setTimeout as delay } from 'node:timers/promises';
import { ServiceError } from '../../core/errors.ts';
import { FairQueue } from '../../core/fair-queue.ts';
import { PinRefusedError } from '../../core/operator-error.ts';
import type { Connection } from './connection.ts';

export interface LiveConnectionOptions {
  /** Makes a connection anew, in the way that suits the one that was lost. */
  readonly reconnect: (lost: Connection) => Promise<Connection> | Connection;
  /** How long a caller waits for a connection that is being restored. */
  readonly waitMs: number;
  /** How many callers may wait: then the last one of the longest line gives way to who has fewer waiting, or is refused. */
  readonly waitingLimit: number;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, details?: object) => void;
}

const RECONNECT_DELAY_MS = { first: 100, most: 5_000 };

type Waiter = (connection: Connection | undefined) => void;

/** The line of what concerns no key. */
const OWN = '';

/**
 * The connection of now. One that is lost is made anew, again and again until the token is back, by one attempt at a time;
 * who needs it meanwhile waits for a while.
 */
export class LiveConnection {
  readonly #options: LiveConnectionOptions;
  readonly #waiting = new FairQueue<Waiter>();
  #current: Connection | undefined;
  #closed: Promise<void> = Promise.resolve();
  /** Closed, or of no use for as long as the process lives: nobody waits for it. */
  #isGivenUp = false;

  constructor(first: Connection, options: LiveConnectionOptions) {
    this.#options = options;
    this.#current = first;
  }

  /** Undefined while it is being restored. */
  get current(): Connection | undefined {
    return this.#current;
  }

  /**
   * @param line in whose line to wait: who has many waiting takes nobody else's place
   * @throws ServiceError HsmUnavailable where it isn't restored in time, or too many wait already
   */
  restored(line = OWN): Promise<Connection> | Connection {
    if (this.#current !== undefined) return this.#current;
    if (this.#isGivenUp) throw notRestored();
    if (this.#waiting.size >= this.#options.waitingLimit) this.#makeRoom(line);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = (connection) => {
        clearTimeout(limit);
        if (connection === undefined) reject(notRestored());
        else resolve(connection);
      };
      const limit = setTimeout(() => {
        this.#waiting.remove(line, waiter);
        waiter(undefined);
      }, this.#options.waitMs);
      this.#waiting.push(line, waiter);
    });
  }

  #makeRoom(line: string): void {
    const last = this.#waiting.giveWay(line);
    if (last === undefined) throw notRestored();
    last(undefined);
  }

  /** Resolves when what was given up last has been closed. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  /** Has the connection closed and made anew although nothing is wrong with it: calls under way end, others wait. */
  renew(): void {
    if (this.#current === undefined) return;
    this.#options.log('info', 'the library of the HSM is initialised anew for another pool');
    this.#giveUp(this.#current);
  }

  /** Says that the token behind a connection doesn't answer any more. The second to say so of the same one changes nothing. */
  lose(lost: Connection): void {
    if (this.#current !== lost) return;
    this.#options.log('error', 'the HSM is lost: the connection is made anew');
    this.#giveUp(lost);
  }

  async close(): Promise<void> {
    this.#isGivenUp = true;
    const last = this.#current;
    this.#hand(undefined);
    await last?.close();
  }

  #giveUp(connection: Connection): void {
    this.#current = undefined;
    this.#closed = connection.close();
    void this.#restore(connection);
  }

  /** Where nobody else uses the library it is finalised and initialised again: that alone makes a token visible that was away. */
  async #restore(lost: Connection): Promise<void> {
    await this.#closed;
    const { reconnect, log } = this.#options;
    const { first, most } = RECONNECT_DELAY_MS;
    for (let wait = first; !this.#isGivenUp; wait = Math.min(2 * wait, most)) {
      await delay(wait, undefined, { ref: false });
      try {
        const fresh = await reconnect(lost);
        // What was closed while the connection was being made stays closed.
        if (this.#isOver()) {
          await fresh.close();
          return;
        }
        log('info', 'the HSM is back');
        this.#hand(fresh);
        return;
      } catch (error) {
        // Another one could lock it.
        if (error instanceof PinRefusedError) {
          log('error', 'the HSM refuses the PIN: no further attempt is made', { err: error });
          this.#isGivenUp = true;
          this.#hand(undefined);
          return;
        }
        log('warn', 'the HSM is not back yet', { err: error });
      }
    }
  }

  /** Read anew: it may have changed while something was waited for. */
  #isOver(): boolean {
    return this.#isGivenUp;
  }

  #hand(connection: Connection | undefined): void {
    this.#current = connection;
    for (const waiter of this.#waiting.takeWhile(() => true).gone) waiter(connection);
  }
}

function notRestored(): ServiceError {
  return new ServiceError('HsmUnavailable', 'The connection to the HSM is being restored.');
}
