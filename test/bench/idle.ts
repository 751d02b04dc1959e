import { setTimeout as sleep } from 'node:timers/promises';
import { cpuBetween, cpuTimes } from './cpu-time.ts';
import type { Target } from './stage.ts';

const LOOK_EVERY_MS = 40;
/** Less than this part of one core is what an idle service needs. */
const IDLE_PART = 0.2;
const IDLE_LIMIT_MS = 5_000;

/** Waits until a target has done what it was still asked for: it would be counted as the next one's. */
export async function untilIdle(target: Target): Promise<void> {
  const pids = [...target.pids(), ...target.postgresPids()];
  const deadline = performance.now() + IDLE_LIMIT_MS;
  for (let before = cpuTimes(pids); performance.now() < deadline;) {
    const since = performance.now();
    await sleep(LOOK_EVERY_MS);
    const now = cpuTimes(pids);
    if (cpuBetween(before, now) < IDLE_PART * 1000 * (performance.now() - since)) return;
    before = now;
  }
}
