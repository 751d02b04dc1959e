import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The first time takes minutes: az comes with all of Azure's libraries. */
const INSTALL_LIMIT_MS = 900_000;

export interface VirtualEnvironment {
  /** Where its programs are, `python` among them. */
  readonly bin: string;
  /** Why there is none; undefined where there is one. */
  readonly missing: string | undefined;
}

/** A virtual environment of Python's below node_modules, with what a file of requirements pins. */
export function makeVirtualEnvironment(name: string, requirements: string): VirtualEnvironment {
  const folder = fileURLToPath(new URL(`../../node_modules/.cache/${name}`, import.meta.url));
  const bin = join(folder, 'bin');
  const python = join(bin, 'python');
  const steps = [
    ...(existsSync(python) ? [] : [['python3', '-m', 'venv', folder]]),
    [python, '-m', 'pip', 'install', '--quiet', '-r', requirements],
  ];
  for (const [command = '', ...args] of steps) {
    const { status, stderr, error } = spawnSync(command, args, {
      encoding: 'utf8',
      timeout: INSTALL_LIMIT_MS,
    });
    if (status === 0) continue;
    const reason = error?.message ?? stderr.trim().split('\n').at(-1) ?? '';
    return { bin, missing: `${command} ${args.join(' ')}: ${reason}` };
  }
  return { bin, missing: undefined };
}
