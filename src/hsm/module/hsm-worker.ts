import type { Worker } from 'node:worker_threads';
import { ServiceError } from '../../core/errors.ts';
import type { Input, OperationName, Output } from '../operations/operations.ts';
import type { OperationSession } from './operation-session.ts';
import { deserialize, deserializeError, serialize } from './serialization.ts';
import { startThread } from './thread.ts';
import type { FromHsmWorker, HsmWorkerData, ToHsmWorker } from './worker-protocol.ts';

export interface HsmWorkerLimits {
  /** After so long an operation counts as hanging; it can't be cancelled, so the process has to go. */
  readonly operationDeadlineMs: number;
  readonly keyGenerationDeadlineMs: number;
  readonly onHang: (operation: string) => void;
}

interface Pending {
  readonly name: OperationName;
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly onMeasured: (ms: number) => void;
  deadline?: NodeJS.Timeout;
}

/**
 * A thread with a session of its own, which waits for the HSM while others are served: an operation runs there whole, from
 * its first call to its last. One operation at a time.
 */
export class HsmWorker implements OperationSession {
  readonly #limits: HsmWorkerLimits;
  readonly #thread: Worker;
  #state: 'starting' | 'running' | 'hanging' | 'ended' = 'starting';
  #pending: Pending | undefined;
  /** Resolves when the thread has ended. */
  readonly ended: Promise<void>;

  constructor(data: HsmWorkerData, limits: HsmWorkerLimits) {
    this.#limits = limits;
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
    name: Name,
    input: Input<Name>,
    onMeasured: (ms: number) => void,
  ): Promise<Output<Name>> {
    return new Promise((resolve, reject) => {
      if (this.isLost) throw unavailable();
      const message = serialize({ name, input });
      this.#pending = { name, resolve: resolve as (output: unknown) => void, reject, onMeasured };
      this.#watch();
      this.#send(message);
    });
  }

  renew(): void {
    this.#send('renew');
  }

  close(): void {
    this.#send('leave');
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
    pending?.onMeasured(message.ms);
    if ('output' in message) pending?.resolve(deserialize(message.output));
    else pending?.reject(deserializeError(message.failed));
  }

  #watch(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const { operationDeadlineMs, keyGenerationDeadlineMs } = this.#limits;
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

  #hang({ name, reject }: Pending): void {
    this.#settle();
    this.#state = 'hanging';
    reject(new ServiceError('HsmUnavailable', 'The HSM did not answer in time.'));
    this.#limits.onHang(name);
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
