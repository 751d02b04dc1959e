// Imported into the service's processes (node --import): writes how long the event loop was held, where that was long.
import { appendFileSync } from 'node:fs';
import cluster from 'node:cluster';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { setInterval } from 'node:timers';

const file = process.env.STRONGROOM_TEST_LOOP_FILE;
const EVERY_MS = 2;
const WORTH_MS = 15;

if (file !== undefined && cluster.isWorker) {
  let last = performance.now();
  setInterval(() => {
    const now = performance.now();
    const held = now - last - EVERY_MS;
    last = now;
    if (held > WORTH_MS) appendFileSync(file, `${String(Date.now())} ${held.toFixed(0)}\n`);
  }, EVERY_MS).unref();
}
