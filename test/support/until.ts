import { setTimeout as delay } from 'node:timers/promises';

const LOOK_EVERY_MS = 20;
const LIMIT_MS = 60_000;

/**
 * Resolves once it is so. An attempt that fails counts as "not yet".
 * @throws Error when the limit has passed
 */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  limitMs = LIMIT_MS,
): Promise<void> {
  const end = performance.now() + limitMs;
  while (performance.now() < end) {
    try {
      if (await isSo()) return;
    } catch {
      // Not yet.
    }
    await delay(LOOK_EVERY_MS);
  }
  throw new Error(`it did not come to be within ${String(limitMs)} ms`);
}
