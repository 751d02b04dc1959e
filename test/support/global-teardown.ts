import { removeRun } from './run-folder.ts';

/** Stops and removes what global-setup.ts made. */
export default async function globalTeardown(): Promise<void> {
  await (globalThis as { stopTestPostgres?: () => Promise<void> }).stopTestPostgres?.();
  const folder = process.env['STRONGROOM_TEST_FOLDER'];
  if (folder !== undefined) await removeRun(folder);
}
