import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import process from 'node:process';
import { createEnvelopes } from '../../backup/security-domain/envelopes.ts';
import { createClearCeremony } from '../../core/recovery/root-keys/clear-ceremony.ts';
import type { ClearCeremony } from '../../core/recovery/security-domain/ports.ts';
import { readRsaCertificate } from '../../core/recovery/security-domain/rsa-certificate.ts';
import { serializeError } from '../../hsm/module/serialization.ts';
import type { Pkcs11Hsm } from '../../hsm/pkcs11-hsm.ts';
import { createLog } from '../../observability/log.ts';
import { openHsm } from '../hsm.ts';
import type { CeremonyPlace, FromCeremony, ToCeremony } from './ceremony-protocol.ts';

/**
 * A process for one ceremony of a security domain, and for nothing else: what it has had in memory is gone with it. See
 * clear-ceremony-apart.ts, which starts it, watches the time and ends it.
 */

const SESSIONS = 2;

async function next(): Promise<ToCeremony> {
  const [message] = (await once(process, 'message')) as [ToCeremony];
  return message;
}

/** Resolves when it is on its way: a process that exits before would take it along. */
function answer(message: FromCeremony): Promise<void> {
  return new Promise((resolve) => {
    process.send?.(message, () => {
      resolve();
    });
  });
}

function open({ pkcs11, tried, poolId, rootGeneration }: CeremonyPlace): Pkcs11Hsm {
  const settings = { pkcs11, tried, sessions: SESSIONS };
  const hsm = openHsm(settings, 'sealed', createLog('error'));
  if (!hsm.openRootKeys(poolId, rootGeneration))
    throw new Error('the token has no root keys of this pool');
  return hsm;
}

async function perform(clear: ClearCeremony, message: ToCeremony): Promise<void> {
  if (message.kind === 'export') {
    const { custodians, ...rest } = message.request;
    const request = { ...rest, custodians: custodians.map((der) => readRsaCertificate(der)) };
    await answer({ kind: 'exported', exported: await clear.exportDomain(request) });
    return;
  }
  if (message.kind !== 'blob') return;
  await clear.openBlob(message.request, async (opened) => {
    const { poolId, generation } = opened;
    await answer({ kind: 'blob', opened: { poolId, generation } });
    if ((await next()).kind === 'import')
      await answer({ kind: 'imported', imported: await opened.importRootKeys() });
  });
}

async function run(): Promise<void> {
  const told = await next();
  if (told.kind !== 'open') return;
  const { place } = told;
  const hsm = open(place);
  try {
    await answer({ kind: 'open' });
    const parts = { hsm, poolId: place.poolId, envelopes: createEnvelopes(), randomBytes };
    await perform(createClearCeremony(parts), await next());
  } finally {
    await hsm.close();
  }
}

// Whoever started it is gone, with all that it would be told.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// A terminal's Ctrl-C reaches the whole group; whoever started it ends it in its own time.
process.on('SIGINT', () => undefined);
run().then(
  () => process.exit(0),
  async (error: unknown) => {
    await answer({ kind: 'failed', error: serializeError(error) });
    process.exit(1);
  },
);
