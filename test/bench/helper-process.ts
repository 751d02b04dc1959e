import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { memoryLimitFor } from '../../src/config/worker-memory.ts';
import { workerOptions } from '../../src/process/worker-options.ts';
import { processCount } from './process-count.ts';

/** A process of the bench's own, which does what it is asked for by name, one answer to each question. */
export interface HelperProcess {
  readonly pid: number;
  ask<Answer = void>(name: string, argument?: unknown): Promise<Answer>;
  /** It ends when it is no longer connected, so it ends with this process too. */
  stop(): void;
}

interface Asker {
  readonly take: (answer: unknown) => void;
  readonly fail: (error: Error) => void;
}

interface Question {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

interface Reply {
  readonly id: number;
  readonly answer?: unknown;
  readonly error?: string;
}

/** Garbage is collected as in the service's processes: the comparison is fair, and nobody takes the others' cores for it. */
const LIKE_THE_SERVICE = workerOptions({
  workers: processCount(),
  cores: availableParallelism(),
  memoryLimit: memoryLimitFor({ memoryBytes: totalmem(), workers: processCount() }),
  given: [],
});

/** @param file beside this one */
export function startHelper(
  file: string,
  environment: Readonly<Record<string, string>> = {},
): HelperProcess {
  const child: ChildProcess = fork(fileURLToPath(new URL(file, import.meta.url)), {
    env: { ...process.env, NODE_OPTIONS: '', ...environment },
    serialization: 'advanced',
    execArgv: [...process.execArgv, ...LIKE_THE_SERVICE],
  });
  const waiting = new Map<number, Asker>();
  let asked = 0;
  child.on('message', ({ id, answer, error }: Reply) => {
    const asker = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) asker?.take(answer);
    else asker?.fail(new Error(`${file}: ${error}`));
  });
  child.on('exit', (code, signal) => {
    for (const { fail } of waiting.values())
      fail(new Error(`${file} ended with ${String(code ?? signal)}`));
    waiting.clear();
  });
  return {
    pid: child.pid ?? NaN,
    ask: <Answer>(name: string, argument?: unknown) =>
      new Promise<Answer>((resolve, reject) => {
        asked += 1;
        waiting.set(asked, {
          take: (answer) => {
            resolve(answer as Answer);
          },
          fail: reject,
        });
        child.send({ id: asked, name, argument } satisfies Question, (error) => {
          if (error !== null) reject(error);
        });
      }),
    stop() {
      if (child.connected) child.disconnect();
    },
  };
}

/** Where the parent has gone, nobody is left to be told; `disconnect` ends the process. */
export function tellParent(message: unknown): void {
  if (process.connected) process.send?.(message, () => undefined);
}

/** The helper's side. */
export function answer(handlers: Readonly<Record<string, (argument: never) => unknown>>): void {
  process.on('message', ({ id, name, argument }: Question) => {
    void Promise.resolve()
      .then(() => handlers[name]?.(argument as never))
      .then(
        (given): Reply => ({ id, answer: given }),
        (error: unknown): Reply => ({
          id,
          error: error instanceof Error ? (error.stack ?? error.message) : String(error),
        }),
      )
      .then(tellParent);
  });
  process.on('disconnect', () => process.exit(0));
  // A terminal's Ctrl-C reaches the whole group; the bench ends its helpers itself.
  process.on('SIGINT', () => undefined);
}
