import { fork } from 'node:child_process';
import { once } from 'node:events';
import { ServiceError } from '../../core/errors.ts';
import { deserializeError } from '../../hsm/module/serialization.ts';
import { LIMITS } from '../limits.ts';
import type { FromProvisioning, ToProvisioning } from './provisioning-protocol.ts';

/** Has it done by a process of its own. @throws ServiceError HsmUnavailable where it ends without a word, and its errors */
export async function provisionApart(message: ToProvisioning): Promise<void> {
  const child = fork(new URL('./provisioning-process.js', import.meta.url), {
    // Flags by which this process was started are about its own script.
    execArgv: [],
    serialization: 'advanced',
  });
  child.on('error', () => undefined);
  const limit = setTimeout(() => child.kill('SIGKILL'), LIMITS.provisioningMs);
  let answer: FromProvisioning | undefined;
  child.on('message', (heard: FromProvisioning) => {
    answer = heard;
  });
  const ended = once(child, 'exit');
  child.send(message, () => undefined);
  await ended;
  clearTimeout(limit);
  if (answer?.kind === 'done') return;
  if (answer === undefined)
    throw new ServiceError('HsmUnavailable', 'The HSM could not perform the operation.');
  throw deserializeError(answer.error);
}
