/** The event loop waits for an operation up to here: a hop to a thread and back costs 0.1 ms, on a busy machine twice that. */
const INLINE_LIMIT_MS = 2;
/** On a busy machine the process now and then loses its core in the middle of a call of 0.07 ms: one of them says little. */
const COUNTED_LIMIT_MS = 20;
const WEIGHT_OF_NEWEST = 1 / 16;

/**
 * How long operations have taken lately, by their kind. An operation is measured where it runs, inline or in a thread, so
 * that one that becomes short again is known to be.
 */
export class OperationTimes {
  readonly #meansMs = new Map<string, number>();

  /** Whether the event loop may wait for it. Until it has been measured all are but those that are known to take long. */
  isShort(kind: string): boolean {
    return this.#meanMs(kind) <= INLINE_LIMIT_MS;
  }

  measured(kind: string, ms: number): void {
    const before = this.#meanMs(kind);
    const counted = Math.min(ms, COUNTED_LIMIT_MS);
    this.#meansMs.set(kind, before + WEIGHT_OF_NEWEST * (counted - before));
  }

  #meanMs(kind: string): number {
    return this.#meansMs.get(kind) ?? expectedMs(kind);
  }
}

/** An RSA key takes from a tenth of a second to several. */
function expectedMs(kind: string): number {
  return kind.startsWith('generate RSA') ? COUNTED_LIMIT_MS : 0;
}
