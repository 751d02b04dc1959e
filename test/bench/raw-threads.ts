import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { TokenOptions } from '../../src/hsm/module/token-options.ts';
import { buildModules } from '../support/modules.ts';
import { answer } from './helper-process.ts';

/** A process whose threads do nothing but sign, each on a session of its own. */

const threads: Worker[] = [];
const toMessage = async (thread: Worker) => {
  const [message] = (await once(thread, 'message')) as [{ done: number; ms: number }];
  return message;
};

answer({
  async open({ token, count }: { token: TokenOptions; count: number }) {
    await buildModules();
    // One after the other: they log in.
    for (let index = 0; index < count; index += 1) {
      const file = new URL('raw-thread.mjs', import.meta.url);
      const thread = new Worker(file, { workerData: token, execArgv: [] });
      threads.push(thread);
      await toMessage(thread);
    }
  },

  /** Signatures a second. */
  async run(ms: number) {
    const runs = await Promise.all(
      threads.map((thread) => {
        thread.postMessage(ms);
        return toMessage(thread);
      }),
    );
    return runs.reduce((sum, run) => sum + (run.done * 1000) / run.ms, 0);
  },
});
