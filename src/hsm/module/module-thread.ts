import { parentPort, workerData } from 'node:worker_threads';
import {
  type ModuleAnswer,
  type ModuleTask,
  openModule,
  type SerializedModule,
} from './open-module.ts';
import { serialize, serializeError } from './serialization.ts';
import { deserializeToken, serializeToken } from './token.ts';

/** A thread for one task: opening or closing a slow module, while another serves requests. See open-module.ts. */

function perform(task: ModuleTask): ModuleAnswer {
  try {
    switch (task.do) {
      case 'open': {
        const opened = openModule(task.options, task.roots);
        const token = serializeToken(opened.token, task.options.module);
        return { opened: serialize({ ...opened, token } satisfies SerializedModule) };
      }
      case 'close':
        deserializeToken(task.token).close();
        return { closed: true };
    }
  } catch (error) {
    return { failed: serializeError(error) };
  }
}

parentPort?.postMessage(perform(workerData as ModuleTask));
