import { spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import process from 'node:process';

/**
 * `npm start` and a terminal each send their own SIGINT for one Ctrl-C: those that come together count as one. A later
 * one is a person's, who has lost patience, and is passed on.
 */
const SAME_SIGNAL_WITHIN_MS = 1_000;

/** Of these the child gets the second: a lost terminal is no reason to end less tidily. */
const PASSED_ON = { SIGTERM: 'SIGTERM', SIGINT: 'SIGINT', SIGHUP: 'SIGTERM' };

/**
 * Runs Node.js with the arguments in the place of this process: standard streams are shared, signals are passed on, and
 * this process ends as the child did. The child has an IPC channel, whose `disconnect` tells it that this process was
 * killed.
 */
export function runForeground(args, { environment = {}, isOwnSession = false } = {}) {
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...environment },
    stdio: ['inherit', 'inherit', 'inherit', ...(isOwnSession ? ['ipc'] : [])],
    detached: isOwnSession,
  });
  const lastSent = new Map();
  for (const [received, sent] of Object.entries(PASSED_ON))
    process.on(received, () => {
      const now = performance.now();
      if (now - (lastSent.get(sent) ?? -Infinity) > SAME_SIGNAL_WITHIN_MS) child.kill(sent);
      lastSent.set(sent, now);
    });
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
