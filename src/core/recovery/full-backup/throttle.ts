import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';

/** Keys in a row. */
const BATCH = 100;

/**
 * Leaves the HSM and the process to others: between keys for what waits already, and after each hundred of them for a share
 * of the time that these took.
 * @param pauseShare 0 for none, 1 for as long as it worked
 */
export function createThrottle(pauseShare: number): () => Promise<void> {
  let count = 0;
  let began = performance.now();
  return async () => {
    count += 1;
    await nextTurn();
    if (count % BATCH !== 0) return;
    if (pauseShare > 0) await delay((performance.now() - began) * pauseShare);
    began = performance.now();
  };
}
