import process from 'node:process';
import { serializeError } from './serialization.ts';
import { openToken } from './token.ts';
import type { TokenOptions } from './token-options.ts';
import type { TrialAnswer } from './fresh-trial.ts';

/** A process that opens a token once, by a library that nobody else has initialised. See fresh-trial.ts, which starts it. */

function perform(options: TokenOptions): TrialAnswer {
  try {
    openToken(options).close();
    return 'opens';
  } catch (error) {
    return { failed: serializeError(error) };
  }
}

process.on('message', (options: TokenOptions) => {
  process.send?.(perform(options));
});
// Whoever started it has its answer, or is gone.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.on('SIGINT', () => undefined);
