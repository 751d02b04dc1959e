import { setTimeout as delay } from 'node:timers/promises';
import { PinRefusedError } from '../../core/operator-error.ts';

/** Waits between the attempts, in milliseconds. */
const WAITS = [20, 100, 300];

/**
 * Opens a token for a process that starts, and tries again where that fails: what stands in the way may be a moment's. For
 * one, SoftHSM 2.6.1 lists a token as absent, or unable to say what it is, while another process logs in to it. A PIN
 * that is refused is not tried again, since that could lock it. The thread waits.
 * @throws what the last attempt threw
 */
export function openPatiently<T>(open: () => T): T {
  for (const wait of WAITS)
    try {
      return open();
    } catch (error) {
      if (error instanceof PinRefusedError) throw error;
      sleep(wait);
    }
  return open();
}

/** As openPatiently, while others are served. */
export async function openPatientlyAside<T>(open: () => Promise<T> | T): Promise<T> {
  for (const wait of WAITS)
    try {
      return await open();
    } catch (error) {
      if (error instanceof PinRefusedError) throw error;
      await delay(wait);
    }
  return open();
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
