import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { ROOT } from './common.mjs';

const COMPILER = join(ROOT, 'node_modules/typescript/bin/tsc');
/** Says of which sources the build is: of none, while they change. */
const STAMP = join(ROOT, 'dist/.sources');
const PROGRAM = join(ROOT, 'dist/main.js');
/** What the compiler says when it has compiled without an error. */
const COMPILED = /Found 0 errors\./;
const LEVELS = { 10: 'TRACE', 20: 'DEBUG', 30: 'INFO ', 40: 'WARN ', 50: 'ERROR', 60: 'FATAL' };

/** `npm run dev`: compiles on every change, starts the service anew when that went well, and shows its log in lines. */
export function runDevelopment(args) {
  rmSync(STAMP, { force: true });
  let service;
  let restarting = Promise.resolve();
  const compiler = spawn(
    process.execPath,
    [COMPILER, '-p', ROOT, '--watch', '--preserveWatchOutput'],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  eachLine(compiler.stdout, (line) => {
    process.stderr.write(`${line}\n`);
    if (COMPILED.test(line)) restarting = restarting.then(restart);
  });

  async function stop() {
    if (service === undefined || service.exitCode !== null || service.signalCode !== null) return;
    const ended = once(service, 'exit');
    service.kill('SIGTERM');
    await ended;
  }

  async function restart() {
    await stop();
    service = spawn(process.execPath, [PROGRAM, 'serve', ...args], {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    eachLine(service.stderr, (line) => process.stderr.write(`${readable(line)}\n`));
  }

  const end = async () => {
    compiler.kill();
    await stop();
    process.exit(0);
  };
  // A terminal's Ctrl-C reaches the service as well: it ends once, however often it is told.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, end);
  compiler.once('exit', end);
}

function eachLine(stream, take) {
  createInterface({ input: stream }).on('line', take);
}

/**
 * A line of the log for people: the time, the level, the message, and what else it says. Other lines stay as they are.
 * @param {string} line
 */
function readable(line) {
  if (!line.startsWith('{')) return line;
  let entry;
  try {
    entry = JSON.parse(line);
  } catch {
    return line;
  }
  const { time, level, msg, pid, err, ...rest } = entry;
  delete rest.hostname;
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return line;
  const details = Object.entries(rest).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  const fault =
    err === undefined
      ? ''
      : [`\n    ${err.type}: ${err.message}`, ...(err.stack ?? [])].join('\n      ');
  return `${date.toISOString().slice(11, 23)} ${LEVELS[level] ?? level} [${pid}] ${msg ?? ''}${details.join('')}${fault}`;
}
