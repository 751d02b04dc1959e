import type { Worker } from 'node:worker_threads';
import { ServiceError } from '../../core/errors.ts';
import type { Input, OperationName, Output } from '../operations/operations.ts';
import type { PooledSession } from './session-pool.ts';
import { deserialize, deserializeError, serialize } from './serialization.ts';
import { startThread } from './thread.ts';
import type {
  FromHsmWorker,
  HsmWorkerData,
  ToHsmWorker,
  Used,
  WorkerMember,
  WorkerSessions,
} from './worker-protocol.ts';

export interface HsmWorkerLimits {
  /** After so long an operation counts as hanging; it can't be cancelled, so the process has to go. */
  readonly operationDeadlineMs: number;
  readonly keyGenerationDeadlineMs: number;
  readonly onHang: (operation: string) => void;
}

export interface WorkerRequest {
  readonly member: WorkerMember;
  readonly limits: HsmWorkerLimits;
  readonly sessions: WorkerSessions;
  /** Also of an operation that fails. */
  readonly onMeasured: (ms: number, used: Used) => void;
}

interface Pending extends Pick<WorkerRequest, 'limits' | 'onMeasured'> {
  readonly name: OperationName;
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: unknown) => void;
  deadline?: NodeJS.Timeout;
}

/**
 * A thread that waits for the HSM while others are served: an operation runs there whole, from its first call to its last,
 * on sessions of whatever connection asks. One operation at a time.
 */
export class HsmWorker implements PooledSession {
  readonly #thread: Worker;
  /** Connections that it knows. */
  readonly #members = new Set<number>();
  #state: 'starting' | 'running' | 'hanging' | 'ended' = 'starting';
  #pending: Pending | undefined;
  /** Resolves when the thread has ended. */
  readonly ended: Promise<void>;

  constructor(data: HsmWorkerData) {
    this.#thread = startThread('operation-thread', data);
    this.#thread.on('message', (message: FromHsmWorker) => {
      this.#receive(message);
    });
    this.#thread.on('error', (error) => {
      this.#end(error);
    });
    this.ended = new Promise((resolve) => {
      this.#thread.once('exit', () => {
        this.#end();
        resolve();
      });
    });
  }

  /** A call may be running on its session for ever, or its thread has ended. */
  get isLost(): boolean {
    return this.#state === 'hanging' || this.#state === 'ended';
  }

  run<Name extends OperationName>(
    { member, limits, sessions, onMeasured }: WorkerRequest,
    name: Name,
    input: Input<Name>,
  ): Promise<Output<Name>> {
    return new Promise((resolve, reject) => {
      if (this.isLost) throw unavailable();
      const message = serialize({ of: member.id, name, input, ...sessions });
      const settled = { resolve: resolve as (output: unknown) => void, reject };
      this.#pending = { name, limits, onMeasured, ...settled };
      this.#watch();
      this.#introduce(member);
      this.#send(message);
    });
  }

  closeSessions(member: WorkerMember, sessions: readonly Uint8Array[]): void {
    this.#introduce(member);
    this.#send({ close: sessions, of: member.id });
  }

  forget({ id }: WorkerMember): void {
    if (this.#members.delete(id)) this.#send({ forget: id });
  }

  /** It has no state that an error could leave behind. */
  renew(): void {
    return;
  }

  close(): void {
    this.#send('leave');
  }

  #introduce(member: WorkerMember): void {
    if (this.#members.has(member.id)) return;
    this.#members.add(member.id);
    this.#send({ join: member });
  }

  #send(message: ToHsmWorker): void {
    this.#thread.postMessage(message);
  }

  #receive(message: FromHsmWorker): void {
    if (message === 'ready') {
      this.#state = 'running';
      this.#watch();
      return;
    }
    const pending = this.#settle();
    pending?.onMeasured(message.ms, message.used);
    if ('output' in message) pending?.resolve(deserialize(message.output));
    else pending?.reject(deserializeError(message.failed));
  }

  #watch(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const { operationDeadlineMs, keyGenerationDeadlineMs } = pending.limits;
    // A thread that begins on a busy machine isn't an HSM that hangs.
    const mayTakeLong = this.#state === 'starting' || pending.name === 'generate';
    clearTimeout(pending.deadline);
    pending.deadline = setTimeout(
      () => {
        this.#hang(pending);
      },
      mayTakeLong ? keyGenerationDeadlineMs : operationDeadlineMs,
    );
  }

  #hang({ name, reject, limits }: Pending): void {
    this.#settle();
    this.#state = 'hanging';
    reject(new ServiceError('HsmUnavailable', 'The HSM did not answer in time.'));
    limits.onHang(name);
  }

  #end(cause?: unknown): void {
    this.#state = 'ended';
    this.#settle()?.reject(unavailable(cause));
  }

  #settle(): Pending | undefined {
    const settled = this.#pending;
    this.#pending = undefined;
    clearTimeout(settled?.deadline);
    return settled;
  }
}

function unavailable(cause?: unknown): ServiceError {
  return new ServiceError('HsmUnavailable', 'The HSM could not perform the operation.', { cause });
}
