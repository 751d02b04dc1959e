import { ServiceError } from '../../core/errors.ts';
import { type Expected, Pace } from './pace.ts';

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
  /** The module bears one call at a time. */
  readonly takesTurns?: boolean;
  /** In a thread that is there to wait: everything runs inline, and who started the thread watches the time. */
  readonly waitsInline?: boolean;
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
    expected: Expected,
    call: NativeCall<T>,
    deadlineMs = this.#options.deadlineMs,
  ): Promise<T> {
    if (this.#options.waitsInline === true) return call.inline();
    let pace = this.#paces.get(label);
    if (pace === undefined) {
      pace = new Pace(expected, this.#options.takesTurns === true);
      this.#paces.set(label, pace);
    }
    return pace.next() ? this.#inline(pace, call) : this.#offLoop(label, call, deadlineMs);
  }

  #inline<T>(pace: Pace, { inline }: NativeCall<T>): T {
    const started = performance.now();
    try {
      return inline();
    } finally {
      pace.measured((performance.now() - started) * 1000);
    }
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
      }
    });
  }
}
