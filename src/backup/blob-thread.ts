import type { BackupContents, OpenedBackup } from '../core/recovery/ports.ts';
import { openContents, protectContents } from './backup-blob.ts';

/** What a thread is asked for: see blob-threads.ts. */
export type BlobTask =
  | { readonly do: 'protect'; readonly key: Uint8Array; readonly contents: BackupContents }
  | { readonly do: 'open'; readonly keys: readonly Uint8Array[]; readonly blob: Uint8Array };

export default function perform(task: BlobTask): Promise<string | OpenedBackup | undefined> {
  return task.do === 'protect'
    ? protectContents(task.key, task.contents)
    : openContents(task.keys, task.blob);
}
