import { randomUUID } from 'node:crypto';
import { createCertificates } from '../attestation/certificates.ts';
import type { AuditChain } from '../core/audit/chain.ts';
import { createCertifiedKeys, type CertifiedKeys } from '../core/pool/certified-keys.ts';
import {
  type CheckpointService,
  type CheckpointServiceParts,
  createCheckpointService,
} from '../core/audit/checkpoint-service.ts';
import {
  createLogVerifier,
  type LogVerifier,
} from '../core/audit/verification/log-verification.ts';
import type { ChangeFeed } from '../core/caching/change-feed.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import type { Hsm } from '../core/keys/hsm.ts';
import { newVersionId } from '../core/keys/new-version-id.ts';
import type { ObjectKeeper } from '../core/keys/objects/object-keeper.ts';
import { keepObjectsOfCertifiedKeys, recordGenerated } from '../core/keys/objects/recorded-keys.ts';
import type { KeyRelease } from '../core/release/key-release.ts';
import { createCertifiedKeyStore } from '../store/pool/certified-key-store.ts';
import { createAuditLogReader, createCheckpointStore } from '../store/audit/checkpoint-store.ts';
import type { StoreContext } from '../store/database.ts';
import { kept } from './objects.ts';
import { createStateReader } from '../store/witness/state-reader.ts';

/** A pool's audit log as it is signed and verified: by the service, by commands, and by a pool's bootstrap. */
export interface SignedLog {
  readonly certifiedKeys: CertifiedKeys;
  readonly verifier: LogVerifier;
  /** Signs how far the chains go, each of them one of this process's. */
  checkpoints(
    chains: readonly AuditChain[],
    on?: Partial<Pick<CheckpointServiceParts, 'onSigned' | 'onLoss'>>,
  ): CheckpointService;
}

/** @param keeper of a resident pool @param feed by which a service hears of changes */
export function openSignedLog(
  context: StoreContext,
  pool: { readonly id: string; readonly name: string },
  module: Hsm & Pick<KeyRelease, 'requireIntact'>,
  clock: Clock = systemClock,
  keeper?: ObjectKeeper,
  feed?: Pick<ChangeFeed, 'subscribe'>,
): SignedLog {
  const hsm = kept(module, keeper, recordGenerated);
  const certifiedKeys = createCertifiedKeys({
    hsm,
    store: kept(createCertifiedKeyStore(context), keeper, keepObjectsOfCertifiedKeys),
    certificates: createCertificates(),
    pool: { id: pool.id, name: pool.name },
    newVersionId,
    newGuid: randomUUID,
    clock,
    ...(feed !== undefined && { feed }),
  });
  return {
    certifiedKeys,
    verifier: createLogVerifier({
      auditLog: createAuditLogReader(context),
      state: createStateReader(context),
      certifiedKeys,
      poolId: pool.id,
      clock,
    }),
    checkpoints: (chains, on) =>
      createCheckpointService({
        chains,
        store: createCheckpointStore(context),
        certifiedKeys,
        poolId: pool.id,
        clock,
        onLoss: () => undefined,
        ...on,
      }),
  };
}
