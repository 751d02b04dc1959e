import type { CliContext } from '../cli-context.ts';
import { describeBackup, withBackups } from './backup-command.ts';
import { openPlace } from './place.ts';
import { createProgressBar } from './progress-bar.ts';

export interface VerifyOptions {
  readonly from: string;
  readonly json?: true;
}

/** `strongroom backup verify`: exit status 2 for a backup that isn't as it was written. */
export async function verifyBackup(
  context: CliContext,
  folder: string,
  { from, json }: VerifyOptions,
): Promise<void> {
  await withBackups(
    context,
    () => openPlace(context, from),
    async ({ opened, storage }) => {
      const bar = createProgressBar({ isShown: json !== true });
      try {
        const { onProgress } = bar;
        const backup = await opened.fullBackups.verify(storage, folder, { onProgress });
        bar.end();
        context.print(describeBackup(backup, json === true));
      } finally {
        bar.end();
      }
    },
  );
}
