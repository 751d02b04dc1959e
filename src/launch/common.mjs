import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

/** The folder of package.json. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** A line for people; standard output is the program's. */
export function say(sentence) {
  process.stderr.write(`strongroom: ${sentence}\n`);
}

export function fail(sentence) {
  say(sentence);
  process.exit(1);
}

/** Runs a program to its end, its output on standard error; tells whether it went well. */
export function succeeds(program, args, environment = {}) {
  const { status } = spawnSync(program, args, {
    cwd: ROOT,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 2, 2],
  });
  return status === 0;
}

export function isInstalled(program) {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.some((folder) => folder !== '' && existsSync(join(folder, program)));
}
