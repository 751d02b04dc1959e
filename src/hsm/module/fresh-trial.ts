import { fork } from 'node:child_process';
import { PinRefusedError } from '../../core/operator-error.ts';
import { deserializeError, type SerializedError } from './serialization.ts';
import { type TokenOptions, tokenOptionsOf } from './token-options.ts';

export type TrialAnswer = 'opens' | { readonly failed: SerializedError };

/** A process that begins on a busy machine, and an HSM that takes its time. */
const LIMIT_MS = 30_000;

/**
 * Whether a library that is initialised now opens a token: what this process has initialised may know no more of a token
 * that has come, or come back, since then. Tried in a process of its own, since here it would take the library from others.
 * @throws PinRefusedError
 */
export async function opensWhereFresh(options: TokenOptions): Promise<boolean> {
  const answer = await ask(options);
  if (answer === 'opens' || answer === undefined) return answer === 'opens';
  const error = deserializeError(answer.failed);
  if (error instanceof PinRefusedError) throw error;
  return false;
}

/** Undefined where it doesn't say. */
function ask(options: TokenOptions): Promise<TrialAnswer | undefined> {
  const child = fork(new URL('./trial-process.js', import.meta.url), {
    // Flags by which this process was started are about its own script.
    execArgv: [],
    serialization: 'advanced',
  });
  return new Promise((resolve) => {
    const settle = (answer: TrialAnswer | undefined) => {
      clearTimeout(limit);
      child.kill('SIGKILL');
      resolve(answer);
    };
    const limit = setTimeout(settle, LIMIT_MS, undefined);
    child.once('message', settle);
    child.once('error', () => {
      settle(undefined);
    });
    child.once('exit', () => {
      settle(undefined);
    });
    child.send(tokenOptionsOf(options), (error) => {
      if (error !== null) settle(undefined);
    });
  });
}
