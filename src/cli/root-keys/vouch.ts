import { randomUUID } from 'node:crypto';
import { openHsm, openRootKeys } from '../../compose/hsm.ts';
import { tokenOf } from '../../compose/service/pool-settings.ts';
import { openSignedLog } from '../../compose/signed-log.ts';
import { AuditDraft } from '../../core/audit/draft.ts';
import { systemClock } from '../../core/clock.ts';
import { OperatorError } from '../../core/operator-error.ts';
import { endorse, saysSo } from '../../core/recovery/root-keys/endorsement.ts';
import { currentOf } from '../../core/recovery/root-keys/root-key-rotation.ts';
import { createLog } from '../../observability/log.ts';
import { createRootKeyStore } from '../../store/recovery/root-keys/root-key-store.ts';
import type { CliContext } from '../cli-context.ts';
import { openStoreOf } from '../open-pool.ts';
import { tokensOf } from '../pkcs11-settings.ts';

/** `strongroom root-keys vouch`: the one command that takes the database's word for which root keys are the current ones. */
export async function vouchForRootKeys(context: CliContext): Promise<void> {
  const log = createLog(context.readSettings().config.logLevel);
  const opened = await openStoreOf(context, log);
  const { pool, context: store } = opened;
  try {
    if (pool.keeping === 'resident')
      throw new OperatorError(
        `The keys of the pool "${pool.name}" (STRONGROOM_POOL) are objects of the HSM, which no root key wraps: it has one generation.`,
      );
    const pkcs11 = tokenOf(await tokensOf(context), pool);
    const hsm = openHsm({ pkcs11, sessions: 2 }, pool.keeping, log);
    try {
      await openRootKeys(hsm, pool);
      const rootKeys = createRootKeyStore(store);
      const { generations, retirement } = await rootKeys.readState();
      const { number } = currentOf(generations);
      // What the root keys themselves have said holds, whatever the rows say since.
      const retires =
        retirement !== undefined && (await saysSo(hsm, number, retirement))
          ? retirement.retires
          : generations
              .filter(({ isCurrent, isKept }) => !isCurrent && !isKept)
              .map((generation) => generation.number);
      const said = await endorse(hsm, number, retires);
      const vouching = said.vouchers.map(({ by }) => by);
      const change = new AuditDraft(systemClock.now, {
        requestId: randomUUID(),
        operation: 'RootKeysVouch',
      });
      change.note({ change: { after: { rootGeneration: number, vouching, retires } } });
      await rootKeys.putEndorsement(number, said, change);
      await hsm.forgetNewer();
      await hsm.rememberUsed();
      store.chain.end();
      await openSignedLog(store, pool, hsm).checkpoints([store.chain]).sign();
      context.print(describe(number, vouching, retires));
    } finally {
      await hsm.close();
    }
  } finally {
    await opened.close();
  }
}

function describe(
  current: number,
  vouching: readonly number[],
  retires: readonly number[],
): string {
  const older =
    vouching.length === 0
      ? 'No older root keys are in the HSM'
      : `Generation ${vouching.join(', ')} vouches for it`;
  const going =
    retires.length === 0
      ? 'none of them is to go'
      : `generation ${retires.join(', ')} goes once it seals nothing`;
  return `New keys are sealed by generation ${current}. ${older}; ${going}.`;
}
