import { HsmWorker, type WorkerRequest } from './hsm-worker.ts';
import type { Input, OperationName, Output } from '../operations/operations.ts';
import { SessionPool } from './session-pool.ts';
import type { WorkerMember } from './worker-protocol.ts';

export interface ThreadLimits {
  /** Threads that this connection could use at once. */
  readonly size: number;
  /** All are started at once. */
  readonly startsAhead: boolean;
  readonly leaseWaitMs: number;
  readonly waitingLimit: number;
  readonly keyGenerationDeadlineMs: number;
}

export type ThreadKind = 'workers' | 'generator';

/**
 * The threads of a library in this process, which all its connections share: as many as one alone would have, however many
 * there are. Connections have turns, so that many operations of one hold up no other's; keys are made in one thread, one at
 * a time (SoftHSM 2.6.1 fails at random where several threads make keys, its issue 573).
 */
export class HsmThreads {
  readonly #members = new Set<WorkerMember>();
  readonly #alive = new Set<HsmWorker>();
  #pools: Partial<Record<ThreadKind, SessionPool<HsmWorker>>> = {};

  /** Before a connection runs anything. */
  join(member: WorkerMember, limits: ThreadLimits): void {
    this.#members.add(member);
    const { workers } = this.#pools;
    if (workers === undefined)
      this.#pools = {
        workers: this.#pool(limits, limits.size, limits.leaseWaitMs, false),
        generator: this.#pool(
          { ...limits, startsAhead: false },
          1,
          limits.keyGenerationDeadlineMs,
          true,
        ),
      };
    else if (workers.size < limits.size) workers.resize(limits.size);
  }

  run<Name extends OperationName>(
    kind: ThreadKind,
    request: WorkerRequest,
    name: Name,
    input: Input<Name>,
  ): Promise<Output<Name>> {
    const pool = this.#pools[kind];
    if (pool === undefined) throw new TypeError('a connection joins before it runs anything');
    return pool.withSession(
      (worker) => worker.run(request, name, input),
      String(request.member.id),
    );
  }

  /** Has a thread close sessions of a connection. @returns false where there is none */
  closeSessions(member: WorkerMember, sessions: readonly Uint8Array[]): boolean {
    const worker = [...this.#alive].find(({ isLost }) => !isLost);
    worker?.closeSessions(member, sessions);
    return worker !== undefined;
  }

  /** Resolves, for the last one, when all threads have ended. */
  async leave(member: WorkerMember): Promise<void> {
    if (!this.#members.delete(member)) return;
    for (const worker of this.#alive) worker.forget(member);
    if (this.#members.size > 0) return;
    const pools = Object.values(this.#pools);
    this.#pools = {};
    await Promise.all(pools.map((pool) => pool.close()));
    await Promise.all([...this.#alive].map(({ ended }) => ended));
  }

  #pool(
    { startsAhead, waitingLimit }: ThreadLimits,
    size: number,
    waitMs: number,
    givesWay: boolean,
  ): SessionPool<HsmWorker> {
    const open = () => {
      const worker = new HsmWorker({ givesWay });
      this.#alive.add(worker);
      void worker.ended.then(() => this.#alive.delete(worker));
      return worker;
    };
    return new SessionPool({ open, size, waitMs, waitingLimit, opensAhead: startsAhead });
  }
}
