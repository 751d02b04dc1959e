import { once } from 'node:events';
import process from 'node:process';
import { serializeError } from '../../hsm/module/serialization.ts';
import { createLog } from '../../observability/log.ts';
import { bootstrap } from '../bootstrap.ts';
import { openHsm } from '../hsm.ts';
import type { FromProvisioning, ToProvisioning } from './provisioning-protocol.ts';

/**
 * A process that makes a pool, or destroys its root keys, and ends: an HSM that is slow, or hangs, holds up nobody whom the
 * worker serves. See provision-apart.ts, which starts it, watches the time and ends it.
 */

const SESSIONS = 2;
const log = createLog('error');

async function run(): Promise<void> {
  const [message] = (await once(process, 'message')) as [ToProvisioning];
  if (message.kind === 'make') {
    await bootstrap(message.settings, log);
    return;
  }
  const { pkcs11, keeping, poolId } = message;
  const hsm = openHsm({ pkcs11, sessions: SESSIONS }, keeping, log);
  try {
    await hsm.destroyRootKeysOf(poolId);
  } finally {
    await hsm.close();
  }
}

/** Resolves when it is on its way: a process that exits before would take it along. */
function answer(message: FromProvisioning): Promise<void> {
  return new Promise((resolve) => {
    process.send?.(message, () => {
      resolve();
    });
  });
}

// Whoever started it is gone; what it has begun, another takes up.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// A terminal's Ctrl-C reaches the whole group; whoever started it ends it in its own time.
process.on('SIGINT', () => undefined);
run().then(
  async () => {
    await answer({ kind: 'done' });
    process.exit(0);
  },
  async (error: unknown) => {
    await answer({ kind: 'failed', error: serializeError(error) });
    process.exit(1);
  },
);
