import { ServiceError } from '../../../src/core/errors.ts';
import type { BackupStorage } from '../../../src/core/recovery/full-backup/ports.ts';

/** Backups in memory, whose files can be changed. */
export class MemoryStorage implements BackupStorage {
  readonly place = 'memory';
  readonly files = new Map<string, Buffer>();

  async write(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    const pieces: Uint8Array[] = [];
    for await (const piece of content) pieces.push(piece);
    this.files.set(path, Buffer.concat(pieces));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- as a storage gives it
  async *read(path: string): AsyncGenerator<Uint8Array> {
    const bytes = this.files.get(path);
    if (bytes === undefined) throw new ServiceError('BackupNotFound', `There is no ${path}.`);
    for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
  }

  listFolders(prefix: string): Promise<readonly string[]> {
    const folders = [...this.files.keys()].map((path) => path.split('/')[0] ?? '');
    return Promise.resolve([...new Set(folders)].filter((folder) => folder.startsWith(prefix)));
  }

  removeFolder(folder: string): Promise<void> {
    for (const path of this.files.keys())
      if (path.startsWith(`${folder}/`)) this.files.delete(path);
    return Promise.resolve();
  }

  async claimFolder(folder: string): Promise<void> {
    if ((await this.listFolders(folder)).includes(folder))
      throw new ServiceError('Conflict', `There is a folder ${folder}.`);
    this.files.set(`${folder}/claim`, Buffer.alloc(0));
  }

  check = () => Promise.resolve();
  close = () => Promise.resolve();
}
