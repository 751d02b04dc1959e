import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { type Session } from 'graphene-pk11';
import { ServiceError } from '../../core/errors.ts';
import { pack, unpack, unpackError } from './crossing.ts';
import { type FromLane, type LaneData, type ToLane } from './lane-protocol.ts';
import { type Done, type Given, type Lane, type WorkName } from '../operations/work.ts';

export interface ThreadLaneOptions extends Omit<LaneData, 'keeper'> {
  /** Session of this thread that results are for: keys are used by their handles. */
  readonly session: Session;
  readonly deadlineMs: number;
  readonly keyGenerationDeadlineMs: number;
  readonly onHang: (operation: string) => void;
}

interface Pending {
  readonly name: WorkName;
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
export class ThreadLanes {
  readonly #options: ThreadLaneOptions;
  readonly #alive = new Set<Worker>();
  /** Sessions that own loaded keys, of threads that have ended. */
  readonly #keepers: Uint8Array[] = [];

  constructor(options: ThreadLaneOptions) {
    this.#options = options;
  }

  open(): Lane {
    const { session, deadlineMs, keyGenerationDeadlineMs, onHang, ...place } = this.#options;
    let keeper = this.#keepers.pop();
    const data: LaneData = { ...place, ...(keeper !== undefined && { keeper }) };
    const thread = startThread('lane-thread', data);
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

    thread.on('message', (message: FromLane) => {
      if (message === 'ready') {
        state = 'running';
        watch();
      } else if ('keeper' in message) keeper = message.keeper as Uint8Array;
      else if ('done' in message) settle()?.resolve(unpack(message.done, session));
      else settle()?.reject(unpackError(message.failed));
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

    const tell = (message: ToLane) => {
      thread.postMessage(message);
    };
    return {
      run: <Name extends WorkName>(name: Name, ...given: Given<Name>) =>
        new Promise<Done<Name>>((resolve, reject) => {
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
export function startThread(name: 'lane-thread' | 'token-thread', data: object): Worker {
  return new Worker(new URL(`./${name}.js`, import.meta.url), {
    workerData: data,
    // Flags by which this process was started are about its own script.
    execArgv: [],
    resourceLimits: HEAP_MB,
  });
}
