import type { CliContext } from '../cli-context.ts';
import { describeBackup, withBackups } from './backup-command.ts';
import { makePlace } from './place.ts';
import { createProgressBar } from './progress-bar.ts';

export interface CreateOptions {
  readonly to: string;
  readonly auditRecords?: true;
  readonly json?: true;
}

/** `strongroom backup create` */
export async function createBackup(context: CliContext, options: CreateOptions): Promise<void> {
  const { to, auditRecords, json } = options;
  await withBackups(
    context,
    () => makePlace(context, to),
    async ({ opened, storage, newChange }) => {
      const bar = createProgressBar({ isShown: json !== true });
      try {
        const { fullBackups } = opened;
        const backup = await fullBackups.create(
          storage,
          fullBackups.newFolder(),
          { withAuditRecords: auditRecords === true, onProgress: bar.onProgress },
          newChange('FullBackup'),
        );
        bar.end();
        context.print(describeBackup(backup, json === true));
      } finally {
        bar.end();
      }
    },
  );
}
