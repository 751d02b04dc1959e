import type { WithTestRun } from './global-setup.ts';
import { removeRun } from './run-folder.ts';

/** Stops and removes what global-setup.ts made. */
export default async function globalTeardown(): Promise<void> {
  try {
    await (globalThis as WithTestRun).endTestRun?.();
  } finally {
    const folder = process.env['STRONGROOM_TEST_FOLDER'];
    if (folder !== undefined) await removeRun(folder);
  }
}
