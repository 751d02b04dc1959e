import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Session } from 'graphene-pk11';
import { fromGlobalSetup } from './environment.ts';

const CHILD = fileURLToPath(new URL('raw-module.mjs', import.meta.url));

/** What a call has come to: `given` are its arguments, into which a module may have written. */
interface Answer<Result> {
  readonly result: Result;
  readonly given: readonly unknown[];
}

interface Reply extends Partial<Answer<unknown>> {
  readonly id: number;
  readonly error?: { readonly message: string; readonly code: number };
}

/** A PKCS#11 module in a process of its own: the environment of that process is what a module reads. */
export interface RawModule {
  /** One call, as the binding has it. @throws Error whose message is the name of the return value */
  call<Result>(name: keyof Session['lib'], ...given: unknown[]): Promise<Answer<Result>>;
  readonly process: ReturnType<typeof fork>;
  end(): Promise<void>;
}

export async function startRawModule(
  environment: Readonly<Record<string, string>>,
): Promise<RawModule> {
  const child = fork(CHILD, {
    env: {
      PATH: process.env['PATH'],
      SOFTHSM2_CONF: fromGlobalSetup('SOFTHSM2_CONF'),
      ...environment,
    },
    execArgv: [],
    serialization: 'advanced',
  });
  const waiting = new Map<number, (reply: Reply) => void>();
  let calls = 0;
  const isOver = once(child, 'exit');
  const ready = await Promise.race([once(child, 'message'), isOver.then(() => undefined)]);
  if (ready === undefined) throw new Error('the module could not be loaded');
  child.on('message', (reply: Reply) => {
    waiting.get(reply.id)?.(reply);
    waiting.delete(reply.id);
  });
  child.on('exit', () => {
    for (const [id, settle] of waiting) settle({ id, error: { message: 'ended', code: 0 } });
  });
  return {
    process: child,
    async call<Result>(name: keyof Session['lib'], ...given: unknown[]) {
      const id = (calls += 1);
      const reply = await new Promise<Reply>((resolve) => {
        waiting.set(id, resolve);
        child.send({ id, name, given });
      });
      if (reply.error === undefined) return reply as Answer<Result>;
      const { message, code } = reply.error;
      throw new Error(/^CKR_\w+/.exec(message)?.[0] ?? `${message} ${String(code)}`);
    },
    async end() {
      child.kill('SIGKILL');
      await isOver;
    },
  };
}
