import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { type Session } from 'graphene-pk11';
import { ServiceError } from '../../core/errors.ts';
import { pack, unpack, deserializeError } from './serialization.ts';
import { type FromHsmWorker, type HsmWorkerData, type ToHsmWorker } from './worker-protocol.ts';
import {
  type Output,
  type Input,
  type OperationSession,
  type OperationName,
} from '../operations/operations.ts';

export interface HsmWorkerOptions extends Omit<HsmWorkerData, 'keeper'> {
  /** Session of this thread that results are for: keys are used by their handles. */
  readonly session: Session;
  readonly deadlineMs: number;
  readonly keyGenerationDeadlineMs: number;
  readonly onHang: (operation: string) => void;
}

interface Pending {
  readonly name: OperationName;
  readonly resolve: (done: unknown) => void;
  readonly reject: (error: unknown) => void;
  deadline?: NodeJS.Timeout;
}

/** Work comes to nothing there: what is loaded, and what is on its way, is small. */
const HEAP_MB = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 };

/**
 * Sessions that are worked on in threads of their own, for a module that is too slow for the event loop: the binding runs
 * Init calls, C_CreateObject, C_FindObjects, C_GetAttributeValue, C_GenerateRandom and C_OpenSession synchronously. There
 * a whole sequence waits without anybody else. A thread takes some 13 MB; a hop there and back 50 to 100 us.
 */
export class HsmWorkers {
  readonly #options: HsmWorkerOptions;
  readonly #alive = new Set<Worker>();
  /** Sessions that own loaded keys, of threads that have ended. */
  readonly #keepers: Uint8Array[] = [];

  constructor(options: HsmWorkerOptions) {
    this.#options = options;
  }

  open(): OperationSession {
    const { session, deadlineMs, keyGenerationDeadlineMs, onHang, ...place } = this.#options;
    let keeper = this.#keepers.pop();
    const data: HsmWorkerData = { ...place, ...(keeper !== undefined && { keeper }) };
    const thread = startThread('operation-thread', data);
    this.#alive.add(thread);
    let pending: Pending | undefined;
    let state: 'starting' | 'running' | 'ended' = 'starting';

    function settle(): Pending | undefined {
      const settled = pending;
      pending = undefined;
      clearTimeout(settled?.deadline);
      return settled;
    }

    const watch = () => {
      if (pending === undefined) return;
      const { name } = pending;
      clearTimeout(pending.deadline);
      pending.deadline = setTimeout(
        () => {
          settle()?.reject(new ServiceError('HsmUnavailable', 'The HSM did not answer in time.'));
          onHang(name);
        },
        // A thread that begins on a busy machine isn't an HSM that hangs.
        state === 'starting' || name === 'generate' ? keyGenerationDeadlineMs : deadlineMs,
      );
    };

    thread.on('message', (message: FromHsmWorker) => {
      if (message === 'ready') {
        state = 'running';
        watch();
      } else if ('keeper' in message) keeper = message.keeper as Uint8Array;
      else if ('done' in message) settle()?.resolve(unpack(message.done, session));
      else settle()?.reject(deserializeError(message.failed));
    });
    const end = (cause?: unknown) => {
      state = 'ended';
      settle()?.reject(
        new ServiceError('HsmUnavailable', 'The HSM could not perform the operation.', { cause }),
      );
    };
    thread.on('error', end);
    thread.once('exit', () => {
      end();
      this.#alive.delete(thread);
      if (keeper !== undefined) this.#keepers.push(keeper);
    });

    const tell = (message: ToHsmWorker) => {
      thread.postMessage(message);
    };
    return {
      run: <Name extends OperationName>(name: Name, ...given: Input<Name>) =>
        new Promise<Output<Name>>((resolve, reject) => {
          if (state === 'ended')
            throw new ServiceError('HsmUnavailable', 'The HSM could not perform the operation.');
          pending = { name, resolve: resolve as (done: unknown) => void, reject };
          watch();
          tell({ name, given: pack(given) });
        }),
      renew: () => {
        tell('renew');
      },
      close: () => {
        tell('leave');
      },
    };
  }

  /** Resolves when all have given their sessions up and ended, or after `limitMs`. */
  async ended(limitMs: number): Promise<void> {
    const exits = [...this.#alive].map(
      (thread) =>
        new Promise<void>((resolve) =>
          thread.once('exit', () => {
            resolve();
          }),
        ),
    );
    await Promise.race([Promise.all(exits), delay(limitMs, undefined, { ref: false })]);
  }
}

/** A thread of this folder's, by the name of its file. */
export function startThread(name: 'operation-thread' | 'module-thread', data: object): Worker {
  return new Worker(new URL(`./${name}.js`, import.meta.url), {
    workerData: data,
    // Flags by which this process was started are about its own script.
    execArgv: [],
    resourceLimits: HEAP_MB,
  });
}
