import { setTimeout as delay } from 'node:timers/promises';
import { ServiceError } from '../../core/errors.ts';
import { connectionClosed, faultOf } from './errors.ts';
import { FairQueue } from '../../core/fair-queue.ts';

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
  /** For calls that run on the event loop. */
  readonly inRounds?: boolean;
}

export interface PooledSession {
  /** Gives it up. */
  close(): void;
  /** Gives it up for a fresh one in the same thread, where starting a thread takes its time. */
  renew?(): void;
  /** A call may be running on it for ever, or what it needs has gone: it is never used again. */
  readonly isLost?: boolean;
}

/** The line of what concerns no key. */
const OWN = '';
const CLOSE_CHECK_MS = 10;
/** Of one round of the event loop: more would be felt by those who ask for something else. */
const ROUND_LIMIT_MS = 2;

interface Waiting<Session> {
  readonly give: (session: Session) => void;
  readonly refuse: (error: unknown) => void;
  readonly since: number;
}

/**
 * A bounded pool with one exclusive lease an operation, held from its first call to its last: two operations on one session
 * at once answer CKR_OPERATION_ACTIVE or, worse, each other's results. Sessions are opened when first needed and are not
 * probed when borrowed (a probe took "nearly a full second" on a network HSM); one that fails is dropped instead.
 *
 * In rounds, who comes waits until the event loop has read what else has come in; then sessions go from hand to hand.
 * Calls right after each other find the module's code and data in the processor's caches, which saves up to half of what a
 * call of tens of microseconds costs between other work. A round ends after a while, so that a crowd holds up nobody else.
 */
export class SessionPool<Session extends PooledSession> {
  readonly #options: SessionPoolOptions<Session>;
  #size: number;
  readonly #idle: Session[] = [];
  readonly #waiting = new FairQueue<Waiting<Session>>();
  #open = 0;
  #isClosed = false;
  #roundEnds = 0;
  #isRoundDue = false;
  #limit: NodeJS.Timeout | undefined;

  constructor(options: SessionPoolOptions<Session>) {
    if (!Number.isInteger(options.size) || options.size < 1)
      throw new RangeError('a session pool has at least one session');
    this.#options = options;
    this.#size = options.size;
    for (; options.opensAhead === true && this.#open < options.size; this.#open += 1)
      this.#idle.push(options.open());
  }

  /**
   * Runs `use` with a session of its own. @throws ServiceError HsmBusy when none comes free in time
   * @param of in whose line to wait: one of each line has its turn, so that many calls with one key hold up no other key's
   */
  async withSession<T>(use: (session: Session) => Promise<T>, of = OWN): Promise<T> {
    const session = await this.#lease(of);
    try {
      const result = await use(session);
      this.#giveBack(session);
      return result;
    } catch (error) {
      const fault = faultOf(error);
      if (session.isLost === true) this.#drop(session);
      // What state an operation is in after an error that isn't the input's nobody knows.
      else if (fault !== undefined && fault !== 'input') this.#replace(session);
      else this.#giveBack(session);
      throw error;
    }
  }

  /** Sessions at most. */
  get size(): number {
    return this.#size;
  }

  /** Those that are too many are closed, each when it has come back. */
  resize(size: number): void {
    this.#size = size;
    while (this.#open > size) {
      const idle = this.#idle.pop();
      if (idle === undefined) break;
      this.#drop(idle);
    }
    if (!this.#isClosed) this.#giveOut();
  }

  get status(): { open: number; inUse: number; waiting: number } {
    return {
      open: this.#open,
      inUse: this.#open - this.#idle.length,
      waiting: this.#waiting.size,
    };
  }

  /** Refuses who waits, and closes what is idle; resolves when the leased sessions have come back and are closed too. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#limit);
    for (const { refuse } of this.#waiting.takeWhile(() => true).gone) refuse(connectionClosed());
    for (const session of this.#idle.splice(0)) this.#drop(session);
    while (this.#open > 0) await delay(CLOSE_CHECK_MS);
  }

  #lease(of: string): Promise<Session> | Session {
    if (this.#isClosed) throw connectionClosed();
    const free = this.#options.inRounds === true ? undefined : this.#free();
    if (free !== undefined) return free;
    if (this.#waiting.size >= this.#options.waitingLimit) this.#makeRoom(of);
    return new Promise((give, refuse) => {
      this.#waiting.push(of, { give, refuse, since: performance.now() });
      if (this.#options.inRounds === true) this.#startRound();
      else this.#limitWaiting();
    });
  }

  #makeRoom(of: string): void {
    const tooMany = new ServiceError('HsmBusy', 'Too many operations wait for the HSM.');
    const last = this.#waiting.giveWay(of);
    if (last === undefined) throw tooMany;
    last.refuse(tooMany);
  }

  /** One that is idle or may still be opened. */
  #free(): Session | undefined {
    const idle = this.#idle.pop();
    if (idle !== undefined || this.#open >= this.#size) return idle;
    const session = this.#options.open();
    this.#open += 1;
    return session;
  }

  #startRound(): void {
    if (this.#isRoundDue) return;
    this.#isRoundDue = true;
    setImmediate(() => {
      this.#isRoundDue = false;
      this.#roundEnds = performance.now() + ROUND_LIMIT_MS;
      this.#giveOut();
    });
  }

  #giveOut(): void {
    while (this.#waiting.size > 0) {
      let session: Session | undefined;
      try {
        session = this.#free();
      } catch (error) {
        this.#waiting.shift()?.refuse(error);
        continue;
      }
      if (session === undefined) break;
      this.#waiting.shift()?.give(session);
    }
    this.#limitWaiting();
  }

  /** All wait for as long at most; a timer that is running is for one that came no later than whoever waits now. */
  #limitWaiting(leftMs = this.#options.waitMs): void {
    if (this.#limit !== undefined || this.#waiting.size === 0) return;
    this.#limit = setTimeout(
      () => {
        this.#limit = undefined;
        this.#refuseLate();
      },
      Math.max(1, Math.ceil(leftMs)),
    ).unref();
  }

  #refuseLate(): void {
    const oldest = performance.now() - this.#options.waitMs;
    const { gone, first } = this.#waiting.takeWhile(({ since }) => since <= oldest);
    for (const { refuse } of gone)
      refuse(new ServiceError('HsmBusy', 'No session of the HSM came free in time.'));
    // Whoever comes later has longer.
    if (first.length > 0) this.#limitWaiting(Math.min(...first.map(({ since }) => since)) - oldest);
  }

  #giveBack(session: Session): void {
    if (this.#isClosed || this.#open > this.#size) {
      this.#drop(session);
      return;
    }
    const goesOn = this.#options.inRounds !== true || performance.now() < this.#roundEnds;
    const next = goesOn ? this.#waiting.shift() : undefined;
    if (next !== undefined) {
      next.give(session);
      return;
    }
    this.#idle.push(session);
    if (this.#waiting.size > 0) this.#startRound();
  }

  #replace(session: Session): void {
    if (session.renew === undefined) {
      this.#drop(session);
      return;
    }
    session.renew();
    this.#giveBack(session);
  }

  #drop(session: Session): void {
    this.#open -= 1;
    try {
      session.close();
    } catch {
      // It is gone already, which is why it is dropped.
    }
    if (!this.#isClosed) this.#giveOut();
  }
}
