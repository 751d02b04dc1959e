import { createArchiveFormat } from '../../backup/full-backup/archive-format.ts';
import { summarize } from '../../core/recovery/full-backup/archive-opener.ts';
import { ServiceError } from '../../core/errors.ts';
import type { BackupStorage, BackupSummary } from '../../core/recovery/full-backup/ports.ts';
import type { CliContext } from '../cli-context.ts';
import { describeBackup, inSentences } from './backup-command.ts';
import { openPlace } from './place.ts';

export interface ListOptions {
  readonly from: string;
  readonly json?: true;
}

const PREFIX = 'mhsm-';

/** `strongroom backup list`: as their manifests say, which only `backup verify` believes. */
export async function listBackups(context: CliContext, { from, json }: ListOptions): Promise<void> {
  await inSentences(context, async () => {
    const storage = await openPlace(context, from);
    try {
      const { found, broken } = await readAll(storage);
      const backups = found.sort((a, b) => a.madeAt.getTime() - b.madeAt.getTime());
      if (json === true) {
        const listed = backups.map((backup) => ({
          ...backup,
          madeAt: backup.madeAt.toISOString(),
        }));
        context.print(JSON.stringify(listed, null, 2));
      } else if (backups.length === 0) context.print(`There is no backup in ${storage.place}.`);
      else for (const backup of backups) context.print(describeBackup(backup, false));
      for (const folder of broken)
        context.warn(
          `${folder} is no backup: it is being written, or was cut off. Remove it if nobody writes there.`,
        );
    } finally {
      await storage.close();
    }
  });
}

async function readAll(storage: BackupStorage) {
  const format = createArchiveFormat();
  const found: BackupSummary[] = [];
  const broken: string[] = [];
  for (const folder of await storage.listFolders(PREFIX))
    try {
      const { claimed } = await format.readManifest({ storage, folder });
      found.push(summarize(folder, claimed));
    } catch (error) {
      if (!(error instanceof ServiceError && isNone(error))) throw error;
      broken.push(folder);
    }
  return { found, broken };
}

function isNone({ code }: ServiceError): boolean {
  return code === 'BackupNotFound' || code === 'MalformedBackupBlob';
}
