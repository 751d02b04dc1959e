/**
 * What is thought of a kind of call until it has been measured: tens of microseconds, about a millisecond, or so long that
 * it never runs inline.
 */
export type Expected = 'fast' | 'brief' | 'long';

interface Limits {
  /** Calls below this run inline. */
  readonly inlineUs: number;
  /** So long a call may hold up the event loop on average. */
  readonly meanUs: number;
}

/** A hop to libuv's pool and back costs 50 to 100 us, on a busy machine twice that. */
const BESIDE: Limits = { inlineUs: 400, meanUs: 2_000 };
/** Where calls take turns anyway a hop gains nothing but that the loop goes on meanwhile. */
const IN_TURN: Limits = { inlineUs: 4_000, meanUs: 6_000 };

/** Calls that are looked back at, one bit each; and how many of them must have been slow. */
const WINDOW = 16;
const SLOW_ENOUGH = WINDOW / 2;
const COUNTED_LIMIT_US = 20_000;
const WEIGHT_OF_NEWEST = 0.05;
/** Off-loop times include the queue, and say little: now and then a call that wasn't far from it is measured inline. */
const REMEASURE_EVERY = 512;

/**
 * Whether calls of one kind run inline, by how long those took that did. On a busy machine the process now and then loses
 * its core for milliseconds in the middle of a call of 70 us: single slow calls say nothing of the module, so half of the
 * last ones must have been slow, unless all together hold up the loop.
 */
export class Pace {
  readonly #limits: Limits;
  #isInline: boolean;
  #slowBits = 0;
  #meanUs = 0;
  #calls = 0;
  #isFar: boolean;

  /** @param takesTurns the module bears one call at a time */
  constructor(expected: Expected, takesTurns: boolean) {
    this.#limits = takesTurns ? IN_TURN : BESIDE;
    this.#isInline = expected === 'fast' || (expected === 'brief' && takesTurns);
    this.#isFar = !this.#isInline;
  }

  /** Whether the next call is to run inline. */
  next(): boolean {
    this.#calls += 1;
    return this.#isInline || (!this.#isFar && this.#calls % REMEASURE_EVERY === 0);
  }

  /** A call has run inline. */
  measured(us: number): void {
    const { inlineUs, meanUs } = this.#limits;
    if (!this.#isInline) {
      this.#isFar = us > meanUs;
      this.#isInline = us <= inlineUs;
      return;
    }
    this.#slowBits = ((this.#slowBits << 1) | Number(us > inlineUs)) & (2 ** WINDOW - 1);
    this.#meanUs += WEIGHT_OF_NEWEST * (Math.min(us, COUNTED_LIMIT_US) - this.#meanUs);
    if (countBits(this.#slowBits) < SLOW_ENOUGH && this.#meanUs < meanUs) return;
    this.#isInline = false;
    this.#slowBits = 0;
    this.#meanUs = 0;
  }
}

function countBits(bits: number): number {
  let count = 0;
  for (let left = bits; left !== 0; left &= left - 1) count += 1;
  return count;
}
