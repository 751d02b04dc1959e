import { parentPort, workerData } from 'node:worker_threads';
import { initialiseLibrary, joinLibrary, loadModule } from './library.ts';
import {
  examine,
  type ModuleAnswer,
  type ModuleTask,
  type SerializedModule,
} from './open-module.ts';
import { serialize, serializeError } from './serialization.ts';
import { logInTo, serializeToken } from './token.ts';
import { performEnding } from './token-use.ts';

/** A thread for one task: opening or closing a slow module, while another serves requests. See open-module.ts. */

type Opening = Extract<ModuleTask, { readonly do: 'open' }>;

function perform(task: ModuleTask): ModuleAnswer {
  switch (task.do) {
    case 'open':
      return open(task);
    case 'end':
      performEnding(loadModule(task.path), task.ending);
      return { ended: true };
  }
}

/** Of what has failed only the session is closed: who else uses the library, the thread that asks knows. */
function open({ options, roots, tried, ...known }: Opening): ModuleAnswer {
  let { isThreadSafe } = known;
  try {
    const module = loadModule(options.module);
    if (isThreadSafe === undefined) isThreadSafe = initialiseLibrary(module, options);
    else joinLibrary(module);
    const opened = logInTo(module, options, isThreadSafe);
    try {
      const found = examine(opened, options, roots, tried);
      const token = serializeToken(opened, options.module);
      return { opened: serialize({ ...found, token } satisfies SerializedModule) };
    } catch (error) {
      opened.loginSession.close();
      throw error;
    }
  } catch (error) {
    return { failed: serializeError(error), isThreadSafe };
  }
}

parentPort?.postMessage(perform(workerData as ModuleTask));
