import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { fromGlobalSetup } from './environment.ts';
import { onceARun } from './once-a-run.ts';
import { testToken } from './softhsm.ts';

const run = promisify(execFile);
const SOURCES = fileURLToPath(new URL('../shim', import.meta.url));
const PROFILES = join(SOURCES, 'profiles');
const FLAGS = [
  ...['-std=c11', '-D_POSIX_C_SOURCE=200809L', '-Wall', '-Wextra', '-Werror', '-O1'],
  ...['-fPIC', '-shared', '-fvisibility=hidden'],
];

export interface ShimOptions {
  /** One of test/shim/profiles. */
  readonly profile?: string;
  /** Calls inside at once, of each process; no limit without it. */
  readonly parallel?: number;
  /** Further lines of the plan, which come after the profile's. */
  readonly lines?: readonly string[];
}

/** The tests' SoftHSM2 behind a module that behaves as its plan says: see test/shim. */
export interface ModuleShim {
  /** For the process that is to use it. */
  readonly environment: Readonly<Record<string, string>>;
  /** From now on: these lines after the profile's, instead of those that were there. */
  setLines(lines: readonly string[]): Promise<void>;
  /** Of each call from now on: so many milliseconds, and up to so many more. */
  setLatency(fixedMs: number, randomMs?: number): Promise<void>;
  /** From now on, what functions answer where they fail, by their names without C_; `*`: what all answer, whatever they are asked. */
  setAnswers(answers: Readonly<Record<string, number>>): Promise<void>;
  remove(): Promise<void>;
}

export async function hasCompiler(): Promise<boolean> {
  return run('cc', ['--version']).then(
    () => true,
    () => false,
  );
}

/** The names of all profiles. */
export async function shimProfiles(): Promise<readonly string[]> {
  const names = await readdir(PROFILES);
  return names.map((name) => name.replace(/\.plan$/, '')).sort();
}

export async function buildModuleShim({
  profile,
  parallel,
  lines = [],
}: ShimOptions = {}): Promise<ModuleShim> {
  const module = await onceARun('module-shim', compile);
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  const file = join(folder, 'plan');
  const parts = { lines, latency: '', answers: [] as readonly string[] };
  const write = async () => {
    const plan = [
      `module ${testToken().module}`,
      profile === undefined ? '' : `profile ${profile}`,
      parallel === undefined ? '' : `parallel ${String(parallel)}`,
      parts.latency,
      ...parts.lines,
      ...parts.answers,
    ];
    // Moved into its place: a call may read it at any moment.
    await writeFile(`${file}.new`, `${plan.join('\n')}\n`);
    await rename(`${file}.new`, file);
  };
  await write();
  return {
    environment: { PKCS11_MODULE: module, MODULE_SHIM_PLAN: file },
    async setLines(changed) {
      parts.lines = changed;
      await write();
    },
    async setLatency(fixedMs, randomMs = 0) {
      parts.latency = `latency ${String(fixedMs * 1000)} ${String(randomMs * 1000)}`;
      await write();
    },
    async setAnswers(answers) {
      parts.answers = Object.entries(answers).map(
        ([name, code]) => `answer ${name} ${String(code)}${name === '*' ? '' : ' on-failure'}`,
      );
      await write();
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Into the folder of the run; once a run. */
async function compile(): Promise<string> {
  const module = join(fromGlobalSetup('STRONGROOM_TEST_FOLDER'), 'module-shim.so');
  await compileShim(module);
  return module;
}

/** @param module where it is put */
export async function compileShim(module: string): Promise<void> {
  const names = await readdir(SOURCES);
  const sources = names.filter((name) => name.endsWith('.c')).map((name) => join(SOURCES, name));
  const libraries = ['-ldl', '-lpthread'];
  const profiles = `-DPROFILES="${PROFILES}"`;
  await run('cc', [...FLAGS, profiles, '-o', module, ...sources, ...libraries]);
}
