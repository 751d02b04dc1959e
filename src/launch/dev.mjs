import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { bundle } from './bundle.mjs';
import { ROOT } from './common.mjs';

const DIST = join(ROOT, 'dist');
const COMPILER = join(ROOT, 'node_modules/typescript/bin/tsc');
const LOG_VIEWER = join(ROOT, 'node_modules/pino-pretty/bin.js');
/** Says of which sources the build is: of none, while they change. */
const STAMP = join(DIST, '.sources');
const PROGRAM = join(DIST, 'main.js');
/** What the compiler says when it has found no error. */
const SOUND = /Found 0 errors\./;

/** `npm run dev`: checks and builds on every change, starts the service anew when that went well, and shows its log in lines. */
export function runDevelopment(args) {
  rmSync(STAMP, { force: true });
  let service;
  let restarting = Promise.resolve();
  const compiler = spawn(
    process.execPath,
    [COMPILER, '-p', ROOT, '--noEmit', '--watch', '--preserveWatchOutput'],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const log = spawn(process.execPath, [LOG_VIEWER, '--ignore', 'hostname'], {
    cwd: ROOT,
    stdio: ['pipe', 2, 'inherit'],
  });
  eachLine(compiler.stdout, (line) => {
    process.stderr.write(`${line}\n`);
    if (SOUND.test(line)) restarting = restarting.then(restart);
  });

  async function stop() {
    if (service === undefined || service.exitCode !== null || service.signalCode !== null) return;
    const ended = once(service, 'exit');
    service.kill('SIGTERM');
    await ended;
  }

  async function restart() {
    if (!bundle(DIST)) return;
    await stop();
    const words = ['--enable-source-maps', PROGRAM, 'serve', '--development', ...args];
    service = spawn(process.execPath, words, {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    service.stderr.pipe(log.stdin, { end: false });
  }

  const end = async () => {
    compiler.kill();
    await stop();
    log.stdin.end();
    process.exit(0);
  };
  // A terminal's Ctrl-C reaches the service as well: it ends once, however often it is told.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, end);
  compiler.once('exit', end);
}

function eachLine(stream, take) {
  createInterface({ input: stream }).on('line', take);
}
