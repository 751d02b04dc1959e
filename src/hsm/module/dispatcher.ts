import { type Input, kindOf, type OperationName, type Output } from '../operations/operations.ts';
import type { OperationSession } from './operation-session.ts';
import { OperationTimes } from './operation-times.ts';
import type { SessionPool } from './session-pool.ts';

type Pool = SessionPool<OperationSession>;

/**
 * The sessions by the way in which they are worked on. `inline` alone: a module that is called by one thread, or a program
 * that may wait. `workers` alone: a module that is too slow for the event loop. Both: what takes long waits in a thread.
 */
export type SessionPools =
  | { readonly inline: Pool }
  | { readonly workers: Pool }
  | {
      readonly inline: Pool;
      readonly workers: Pool;
      /** One session for making keys, which may take all of a processor for seconds: no other operation waits for it. */
      readonly generator: Pool;
    };

/** Runs operations inline or whole in a thread that is there to wait: the one place where that is decided. */
export class Dispatcher {
  readonly #pools: SessionPools;
  readonly #times = new OperationTimes();

  constructor(pools: SessionPools) {
    this.#pools = pools;
  }

  /**
   * @param line in whose line to wait: one of each line has its turn, so that many calls with one key hold up no other key's
   * @throws ServiceError HsmBusy when no session comes free in time
   */
  run<Name extends OperationName>(
    name: Name,
    input: Input<Name>,
    line?: string,
  ): Promise<Output<Name>> {
    const kind = kindOf(name, input);
    const measured = (ms: number) => {
      this.#times.measured(kind, ms);
    };
    return this.#poolFor(name, kind).withSession(
      (session) => session.run(name, input, measured),
      line,
    );
  }

  /** Sessions, and operations that wait for one. */
  get status(): { open: number; inUse: number; waiting: number } {
    const all = { open: 0, inUse: 0, waiting: 0 };
    for (const { status } of this.#all()) {
      all.open += status.open;
      all.inUse += status.inUse;
      all.waiting += status.waiting;
    }
    return all;
  }

  /** Refuses whoever waits; resolves when all sessions have come back and are closed. */
  async close(): Promise<void> {
    await Promise.all(this.#all().map((pool) => pool.close()));
  }

  #poolFor(name: OperationName, kind: string): Pool {
    const pools = this.#pools;
    if (!('inline' in pools)) return pools.workers;
    if (!('workers' in pools) || this.#times.isShort(kind)) return pools.inline;
    // A token that many share may have no session for either.
    if (name === 'generate' && pools.generator.size > 0) return pools.generator;
    return pools.workers.size > 0 ? pools.workers : pools.inline;
  }

  #all(): readonly Pool[] {
    return Object.values(this.#pools);
  }
}
