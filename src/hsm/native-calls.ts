import { ServiceError } from '../core/errors.ts';
import { clearOpenSslErrors } from './openssl-errors.ts';

/** A call of the module in both forms that the binding has. */
export interface NativeCall<T> {
  /** Runs here and now: the event loop waits. */
  readonly inline: () => T;
  /** Runs on libuv's pool. Init calls have no such form in the binding, and stay inline. */
  readonly offLoop: (done: (error: Error | null, value: T | null) => void) => void;
}

export interface NativeCallOptions {
  /** After so long a call counts as hanging; it can't be cancelled, so the process has to go. */
  readonly deadlineMs: number;
  readonly onHang: (label: string) => void;
}

/** A hop to libuv's pool and back costs 50 to 100 us: calls below this are cheaper inline. */
const INLINE_LIMIT_US = 200;
/** Off-loop times include the queue: now and then a call that was about fast enough is measured inline. */
const REMEASURE_EVERY = 512;
const WEIGHT_OF_NEWEST = 0.1;
/**
 * A time counts for no more than this. On a busy machine the process now and then loses its core for milliseconds in the
 * middle of a call of 70 us, and one such time must not send every call after it off the loop; a call that is truly slow
 * shows within five.
 */
const COUNTED_LIMIT_US = 3 * INLINE_LIMIT_US;

interface Pace {
  /** As measured inline, or expected. */
  us: number;
  calls: number;
  isInline: boolean;
}

/** Decides, from measured latency per kind of call, whether it runs inline or off the event loop. The one place. */
export class NativeCalls {
  readonly #options: NativeCallOptions;
  readonly #paces = new Map<string, Pace>();

  constructor(options: NativeCallOptions) {
    this.#options = options;
  }

  /**
   * @param label the kind of call: mechanism and key kind; there are few
   * @param expected what to do until it has been measured
   */
  async run<T>(
    label: string,
    expected: 'fast' | 'slow',
    call: NativeCall<T>,
    deadlineMs = this.#options.deadlineMs,
  ): Promise<T> {
    let pace = this.#paces.get(label);
    if (pace === undefined) {
      pace = {
        us: expected === 'fast' ? 0 : 2 * INLINE_LIMIT_US,
        calls: 0,
        isInline: expected === 'fast',
      };
      this.#paces.set(label, pace);
    }
    pace.calls += 1;
    const trial =
      !pace.isInline && pace.us < 2 * INLINE_LIMIT_US && pace.calls % REMEASURE_EVERY === 0;
    const started = performance.now();
    if (pace.isInline || trial) {
      try {
        return call.inline();
      } finally {
        clearOpenSslErrors();
        const us = (performance.now() - started) * 1000;
        pace.us = trial
          ? us
          : pace.us + WEIGHT_OF_NEWEST * (Math.min(us, COUNTED_LIMIT_US) - pace.us);
        pace.isInline = pace.us <= INLINE_LIMIT_US;
      }
    }
    return this.#offLoop(label, call, deadlineMs);
  }

  #offLoop<T>(label: string, call: NativeCall<T>, deadlineMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(() => {
        reject(new ServiceError('HsmUnavailable', 'The HSM did not answer in time.'));
        this.#options.onHang(label);
      }, deadlineMs);
      try {
        call.offLoop((error, value) => {
          clearTimeout(deadline);
          if (error !== null || value === null)
            reject(error ?? new Error('the binding gave nothing'));
          else resolve(value);
        });
      } catch (error) {
        // Init calls run before the asynchronous part, and fail here.
        clearTimeout(deadline);
        throw error;
      } finally {
        clearOpenSslErrors();
      }
    });
  }
}
