import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Where distributions put libraries. */
const LIBRARY_FOLDERS = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/usr/local/lib',
];

/** A library by its name, or by its path below one of those folders. */
export function findFile(name: string): string | undefined {
  return find(LIBRARY_FOLDERS, name);
}

export function findProgram(name: string): string | undefined {
  return find((process.env['PATH'] ?? '').split(':'), name);
}

function find(folders: readonly string[], name: string): string | undefined {
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}
