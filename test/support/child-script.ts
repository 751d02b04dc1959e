import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { modulesFolder } from './modules.ts';

/**
 * Runs a script as a module in a process of its own, which stays until it is killed; resolves when the script has
 * printed "ready", and rejects with what it printed instead. `MODULES` in the script is the folder of the modules of src, one by one.
 */
export async function startScript(script: string): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `const MODULES = ${JSON.stringify(await modulesFolder())};\n${script};\nconsole.log('ready'); setInterval(() => {}, 60_000);`,
    ],
    { env: { PATH: process.env['PATH'] }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  const collect = (text: string) => (output += text);
  child.stderr.setEncoding('utf8').on('data', collect);
  await new Promise<void>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      collect(text);
      if (output.includes('ready')) resolve();
    });
    child.once('close', () => {
      reject(new Error(output));
    });
  });
  return child;
}

export async function killAndWait(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}
