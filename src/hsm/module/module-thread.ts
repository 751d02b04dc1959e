import { parentPort, workerData } from 'node:worker_threads';
import { serializeError } from './serialization.ts';
import { crossOpening, openModule, type TokenAnswer, type TokenTask } from './open-module.ts';
import { closeToken } from './token.ts';

/** A thread for one task: opening or closing a slow module, while another serves requests. See opening.ts. */

function perform(task: TokenTask): TokenAnswer {
  try {
    switch (task.do) {
      case 'open':
        return {
          opened: crossOpening(openModule(task.options, task.roots), task.options.module),
        };
      case 'close':
        closeToken(task.token);
        return { closed: true };
    }
  } catch (error) {
    return { failed: serializeError(error) };
  }
}

parentPort?.postMessage(perform(workerData as TokenTask));
