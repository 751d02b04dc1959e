import { Worker } from 'node:worker_threads';

/** Operations come to nothing there: what is on its way is small. */
const HEAP_MB = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 };

/** A thread of this folder's, by the name of its file. It takes some 13 MB. */
export function startThread(name: 'operation-thread' | 'module-thread', data: object): Worker {
  return new Worker(new URL(`./${name}.js`, import.meta.url), {
    workerData: data,
    // Flags by which this process was started are about its own script.
    execArgv: [],
    resourceLimits: HEAP_MB,
  });
}
