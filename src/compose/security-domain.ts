import { createCertificates } from '../attestation/certificates.ts';
import {
  formatCertificateJwk,
  readCertificateJwk,
} from '../backup/security-domain/certificate-jwk.ts';
import { formatDomain, parseRestoreBlob } from '../backup/security-domain/domain-text.ts';
import { systemClock } from '../core/clock.ts';
import { newVersionId } from '../core/keys/new-version-id.ts';
import type { ClearCeremony } from '../core/recovery/security-domain/ports.ts';
import {
  createSecurityDomainService,
  type SecurityDomainServiceParts,
} from '../core/recovery/security-domain/security-domain-service.ts';
import { createTransferKeys } from '../core/recovery/security-domain/transfer-keys.ts';
import type { Pkcs11Hsm } from '../hsm/pkcs11-hsm.ts';
import type { StoreContext } from '../store/database.ts';
import type { Pool } from '../store/pool/pool-store.ts';
import { createExclusively } from '../store/recovery/recovery-lock.ts';
import { createSecurityDomainStore } from '../store/recovery/security-domain/security-domain-store.ts';
import type { ReplicaIdentity } from '../core/pool/replicas.ts';
import { createPendingGenerationStore } from '../store/recovery/root-keys/pending-generation-store.ts';
import { FORGOTTEN_AFTER_MS } from '../core/pool/replicas.ts';
import { LIMITS } from './limits.ts';
import { openPromoter, openRootKeyCeremony } from './root-keys.ts';

export interface SecurityDomainParts {
  readonly context: StoreContext;
  readonly pool: Pick<Pool, 'id'>;
  readonly hsm: Pkcs11Hsm;
  readonly clear: ClearCeremony;
  /** The replica that this process is of; absent for a command. */
  readonly own?: ReplicaIdentity;
  readonly on: Pick<SecurityDomainServiceParts, 'onNewRootKeys' | 'onUploaded' | 'onFault'>;
}

/** Of Managed HSM's. */
const TRANSFER_KEY_BITS = 4096;

/** The pool's security domain, for the service and for commands. */
export function openSecurityDomain(parts: SecurityDomainParts) {
  const { context, pool, hsm, own, clear, on } = parts;
  // A download has made sure that nothing else is under way.
  const promoter = openPromoter(context, hsm, { own, isAlone: true });
  const pending = createPendingGenerationStore(context);
  const store = createSecurityDomainStore(context);
  return createSecurityDomainService({
    hsm,
    ceremony: openRootKeyCeremony(context, pool, hsm, clear),
    store,
    exclusively: createExclusively(context),
    transferKeys: createTransferKeys({
      hsm,
      store,
      certificates: createCertificates(),
      poolId: pool.id,
      bits: TRANSFER_KEY_BITS,
      newVersionId,
      clock: systemClock,
    }),
    texts: {
      formatDomain,
      parseRestoreBlob,
      readCertificate: readCertificateJwk,
      formatCertificate: formatCertificateJwk,
    },
    promote: () => promoter.attempt(LIMITS.downloadAgreesMs),
    listAwaited: async () =>
      (await pending.listAwaited(FORGOTTEN_AFTER_MS)).map(({ name }) => name),
    ...on,
  });
}
