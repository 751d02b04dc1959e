import { execFile } from 'node:child_process';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { testToken } from './softhsm.ts';

const run = promisify(execFile);
const SOURCE = fileURLToPath(new URL('../slow-hsm/slow-hsm.c', import.meta.url));

/** This worker's token behind a module that adds latency to every call: see test/slow-hsm/slow-hsm.c. */
export interface SlowHsm {
  /** For the process that is to use it. */
  readonly environment: Readonly<Record<string, string>>;
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

/**
 * @param parallel calls inside at once, of each process
 * @param isOneThread it refuses to be called by several threads
 */
export async function buildSlowHsm(parallel: number, isOneThread = false): Promise<SlowHsm> {
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  const module = join(folder, 'slow-hsm.so');
  const latency = join(folder, 'latency');
  const flags = ['-std=gnu11', '-Wall', '-Wextra', '-Werror', '-O1'];
  await run('cc', [
    ...flags,
    ...['-fPIC', '-shared', '-fvisibility=hidden', '-o', module, SOURCE, '-ldl', '-lpthread'],
  ]);
  const setLatency = (fixedMs: number, randomMs = 0) =>
    writeFile(latency, `${String(fixedMs * 1000)} ${String(randomMs * 1000)}\n`);
  await setLatency(0);
  const answersFile = join(folder, 'answers');
  const setAnswers = async (answers: Readonly<Record<string, number>>) => {
    const lines = Object.entries(answers).map(([name, code]) => `${name} ${String(code)}\n`);
    // Moved into its place: a call may read it at any moment.
    await writeFile(`${answersFile}.new`, lines.join(''));
    await rename(`${answersFile}.new`, answersFile);
  };
  return {
    environment: {
      PKCS11_MODULE: module,
      SLOW_HSM_MODULE: testToken().module,
      SLOW_HSM_PARALLEL: String(parallel),
      ...(isOneThread && { SLOW_HSM_ONE_THREAD: '1' }),
      SLOW_HSM_LATENCY: latency,
      SLOW_HSM_ANSWERS: answersFile,
    },
    setLatency,
    setAnswers,
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
