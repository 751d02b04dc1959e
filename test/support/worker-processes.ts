import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { RunningService } from './service.ts';

const run = promisify(execFile);

/** The worker processes of a service, from what the operating system says of its children. */
export async function workersOf({ process: { pid } }: RunningService): Promise<number[]> {
  const { stdout } = await run('ps', ['-o', 'pid=,args=', '--ppid', String(pid)]);
  return stdout
    .split('\n')
    .filter((line) => line.includes('worker.js'))
    .map((line) => Number.parseInt(line, 10));
}
