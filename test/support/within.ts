import { setTimeout as delay } from 'node:timers/promises';

const LOOK_EVERY_MS = 20;

/**
 * Resolves once it is so. Who asks after the limit has to find it so: a look that began before it may find it otherwise,
 * however long a busy machine takes for it.
 * @throws Error where a look that began after the limit finds it otherwise
 */
export async function within(
  limitMs: number,
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  const began = performance.now();
  for (;;) {
    const askedMs = performance.now() - began;
    if (await isSo()) return;
    if (askedMs > limitMs) throw new Error(`it is not so after ${String(Math.round(askedMs))} ms`);
    await delay(LOOK_EVERY_MS);
  }
}
