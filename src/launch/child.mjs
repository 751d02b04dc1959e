import { spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { clearInterval, setInterval } from 'node:timers';

/**
 * `npm start` and a terminal each send their own SIGINT for one Ctrl-C: those that come together count as one. A later
 * one is a person's, who has lost patience, and is passed on.
 */
const SAME_SIGNAL_WITHIN_MS = 1_000;

/** Of these the child gets the second: a lost terminal is no reason to end less tidily. */
const PASSED_ON = { SIGTERM: 'SIGTERM', SIGINT: 'SIGINT', SIGHUP: 'SIGTERM' };

const PARENT_CHECK_MS = 250;

/**
 * Runs Node.js with the arguments in the place of this process: standard streams are shared, signals are passed on, and
 * this process ends as the child did.
 */
export function runForeground(args, { isOwnSession = false } = {}) {
  const child = spawn(process.execPath, args, {
    stdio: 'inherit',
    detached: isOwnSession,
  });
  const lastSent = new Map();
  const send = (signal) => {
    const now = performance.now();
    if (now - (lastSent.get(signal) ?? -Infinity) > SAME_SIGNAL_WITHIN_MS) child.kill(signal);
    lastSent.set(signal, now);
  };
  for (const [received, sent] of Object.entries(PASSED_ON)) process.on(received, () => send(sent));
  // npm gives SIGTERM to the shell between it and this process, which dies of it without a word.
  if (process.env.npm_lifecycle_event !== undefined) whenParentEnds(() => send('SIGTERM'));
  child.once('error', (error) => {
    process.stderr.write(`strongroom: ${error.message}\n`);
    process.exit(1);
  });
  child.once('exit', (status, signal) => {
    if (signal === null) process.exit(status);
    for (const received of Object.keys(PASSED_ON)) process.removeAllListeners(received);
    process.kill(process.pid, signal);
  });
}

function whenParentEnds(action) {
  const parent = process.ppid;
  const check = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(check);
    action();
  }, PARENT_CHECK_MS);
  check.unref();
}
