import type { AuditChain } from '../../audit/chain.ts';
import { createCheckpointService } from '../../audit/checkpoint-service.ts';
import type { Clock } from '../../clock.ts';
import type { CertifiedKeys } from '../../pool/certified-keys.ts';
import type { AddedCheckpoint, InheritedLog } from './pool-store.ts';

export interface InheritingParts {
  /** Those of the pool that the audit log is of. */
  readonly certifiedKeys: Pick<CertifiedKeys, 'signer'>;
  readonly poolId: string;
  readonly clock: Clock;
}

const NO_CHAINS: readonly AuditChain[] = [];

/**
 * Ends an audit log that a pool brings from elsewhere: what its last processes had not signed is signed as it is found, and
 * where its records have not come along, that is signed too.
 */
export async function endInheritedLog(
  { newest, heads, open }: InheritedLog,
  hasRecords: boolean,
  { certifiedKeys, poolId, clock }: InheritingParts,
): Promise<readonly AddedCheckpoint[]> {
  const added: AddedCheckpoint[] = [];
  const checkpoints = createCheckpointService({
    chains: NO_CHAINS,
    store: {
      findNewest: () => Promise.resolve(added.at(-1)?.checkpoint ?? newest),
      append: (checkpoint, signed, isRetention) => {
        added.push({ checkpoint, heads: signed, isRetention });
        return Promise.resolve(true);
      },
      listUnsigned: () => Promise.resolve(open.map((head) => ({ ...head, ends: true }))),
    },
    certifiedKeys,
    poolId,
    clock,
    onLoss: () => undefined,
  });
  await checkpoints.countersign();
  if (!hasRecords && heads.length > 0)
    await checkpoints.sign({ before: clock.now(), chains: heads });
  return added;
}
