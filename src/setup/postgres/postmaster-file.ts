import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { readIfPresent } from '../private-file.ts';

/** postmaster.pid, line by line: src/include/utils/pidfile.h of PostgreSQL. */
export interface PostmasterFile {
  readonly pid: number;
  /** Where its cluster is: another place than this file's, where the cluster was copied while it ran. */
  readonly dataFolder: string;
  readonly socketFolder: string;
  readonly isReady: boolean;
}

export function postmasterFileOf(dataFolder: string): string {
  return join(dataFolder, 'postmaster.pid');
}

/** What a running postmaster says about itself, or undefined where none has said a thing. */
export async function readPostmasterFile(dataFolder: string): Promise<PostmasterFile | undefined> {
  const lines = (await readIfPresent(postmasterFileOf(dataFolder)))?.split('\n') ?? [];
  const pid = Number.parseInt(lines[0] ?? '', 10);
  if (!(pid > 0)) return undefined;
  return {
    pid,
    dataFolder: lines[1] ?? '',
    socketFolder: lines[4] ?? '',
    isReady: lines[7]?.trim() === 'ready',
  };
}

export type ProcessKind = 'this postmaster' | 'another postgres' | 'something else' | 'gone';

/** Process ids are used again, in containers at once: only the command line tells who a process is. */
export async function identify(pid: number, dataFolder: string): Promise<ProcessKind> {
  const words = await commandLineOf(pid);
  if (words === undefined) return 'gone';
  const [program = '', ...options] = words;
  if (basename(program) !== 'postgres') return 'something else';
  return options.includes(dataFolder) ? 'this postmaster' : 'another postgres';
}

async function commandLineOf(pid: number): Promise<string[] | undefined> {
  try {
    if (process.platform === 'linux') {
      const text = await readFile(`/proc/${pid}/cmdline`, 'utf8');
      // Empty for one that has ended and that nobody collects, as in containers without an init.
      return text.split('\0');
    }
    const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'args=', '-p', String(pid)]);
    return splitCommandLine(stdout.trim());
  } catch {
    return undefined;
  }
}

/** `ps` parts the words with blanks, which a path may hold too; only ours follows `-D`, and a blank and `-c` end it. */
function splitCommandLine(text: string): string[] {
  const parts = /^(?<program>.*?\/postgres) -D (?<folder>.*?) -c /.exec(text)?.groups;
  return parts === undefined ? [text] : [parts['program'] ?? '', '-D', parts['folder'] ?? ''];
}
