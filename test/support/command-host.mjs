import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { runCli } from '../../dist/program.js';

/**
 * Runs commands of `strongroom` for commands.ts, one after the other, in one process: each has its own words and environment, and
 * must leave nothing behind that would keep a process of its own from ending.
 */
const LOOK_EVERY_MS = 10;
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'];

process.on('message', ({ words, environment, end }) => {
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, environment);
  process.argv = [process.execPath, 'strongroom', ...words];
  process.exitCode = undefined;
  const before = held();
  runCli(process.env)
    .then(() => whenHeld(before))
    .then(() => {
      for (const signal of SIGNALS) process.removeAllListeners(signal);
      const last = `${end}${String(process.exitCode ?? 0)}\n`;
      process.stderr.write(last);
      process.stdout.write(last);
    });
});
process.on('disconnect', () => process.exit());
process.send('ready');

/** What keeps this process from ending, by its kinds. */
function held() {
  return process.getActiveResourcesInfo().sort().join();
}

/** Resolves once nothing is held but what was before the command. */
async function whenHeld(before) {
  while (held() !== before) await delay(LOOK_EVERY_MS, undefined, { ref: false });
}
