import type { AuditedChange } from '../../audit/record.ts';
import { ServiceError } from '../../errors.ts';
import type { HsmFeatures } from '../../keys/hsm.ts';
import { requireSealed } from '../../keys/key-keeping.ts';
import type {
  CeremonyStatus,
  DomainTexts,
  Exclusively,
  RootKeyCeremony,
  SecurityDomainStore,
} from './ports.ts';
import type { RsaCertificate } from './rsa-certificate.ts';
import { requireCustodians } from './security-domain.ts';
import type { TransferKeys } from './transfer-keys.ts';
import { proveUpload, type UploadProver } from './uploaded-domain.ts';

export interface SecurityDomainServiceParts {
  readonly hsm: Pick<HsmFeatures, 'keeping'> & UploadProver;
  readonly ceremony: RootKeyCeremony;
  readonly store: SecurityDomainStore;
  readonly exclusively: Exclusively;
  readonly transferKeys: TransferKeys;
  readonly texts: DomainTexts;
  /** Makes pending root keys the current ones, as soon as all replicas hold them. */
  readonly promote: () => Promise<unknown>;
  /** For which replicas new root keys wait. */
  readonly listAwaited: () => Promise<readonly string[]>;
  /** New root keys are on record: once they are the current ones, everything is wrapped by them. */
  readonly onNewRootKeys: () => void;
  /** Another domain is on record: resolves when this process opens backups by it. */
  readonly onUploaded: () => Promise<void>;
  readonly onFault: (error: unknown) => void;
}

export interface DownloadStatus {
  readonly status: CeremonyStatus;
  /** Names of replicas whose HSM lacks the new root keys. */
  readonly awaited: readonly string[];
}

export type SecurityDomainService = ReturnType<typeof createSecurityDomainService>;

/** The pool's security domain: given to custodians, and taken back from a quorum of them. Who may is decided before. */
export function createSecurityDomainService(parts: SecurityDomainServiceParts) {
  const { ceremony, store, exclusively, transferKeys, texts } = parts;

  const nothingYet = (kind: 'download' | 'upload') =>
    new ServiceError('PathNotFound', `There was no ${kind} of a security domain.`);

  return {
    /**
     * Makes new root keys, and gives them to the custodians.
     * @param jwks of custodians' certificates
     * @returns the text that custodians keep
     * @throws ServiceError BadParameter, Conflict, KeyOperationForbidden in a resident pool
     */
    async download(
      { certificates: jwks, required }: { certificates: readonly unknown[]; required: number },
      change: AuditedChange,
    ): Promise<string> {
      requireSealed(parts.hsm, 'securityDomain');
      const custodians = jwks.map((jwk, index) => readNumbered(texts, jwk, index));
      // Before the HSM is asked, which makes a new generation for it.
      requireCustodians(custodians, required);
      return exclusively(async () => {
        const { domain, ...exported } = await ceremony.exportRootKeys({ custodians, required });
        const { generation } = exported;
        // Last, since once they are the current ones the domains of before open nothing that is new.
        const thumbprints = custodians.map(({ thumbprint }) => thumbprint);
        change.note({ change: { after: { generation, required, custodians: thumbprints } } });
        await store.recordDownload(exported, { required, custodians: thumbprints }, change);
        // From here on it is the pool's: it must reach its custodians, whatever else fails.
        await parts.promote().catch(parts.onFault);
        parts.onNewRootKeys();
        return texts.formatDomain(domain);
      });
    },

    /** @throws ServiceError PathNotFound where there was none */
    async downloadStatus(): Promise<DownloadStatus> {
      const found = await store.findDownload();
      if (found === undefined) throw nothingYet('download');
      const status = await ceremony.progress(found.generation);
      return { status, awaited: status === 'InProgress' ? await parts.listAwaited() : [] };
    },

    /** As a JSON Web Key. The first to ask has it made. */
    async transferKey(change: AuditedChange): Promise<object> {
      requireSealed(parts.hsm, 'securityDomain');
      return texts.formatCertificate(await transferKeys.current(change));
    },

    /**
     * Takes another pool's domain: what was backed up there can be restored here from then on.
     * @param text the restore blob
     * @throws ServiceError BadParameter, Conflict
     */
    async upload(text: string, change: AuditedChange): Promise<void> {
      const blob = texts.parseRestoreBlob(text);
      await exclusively(async () => {
        await store.requireNoKeys();
        const { thumbprint, material } = await transferKeys.required();
        const imported = await ceremony.importRootKeys({ blob, thumbprint, transferKey: material });
        const { poolId, generation } = imported;
        change.note({
          change: { after: { poolId, generation }, along: { transferKey: thumbprint } },
        });
        const proof = await proveUpload(parts.hsm, imported);
        await store.recordUpload({ ...imported, proof }, change);
        await parts.onUploaded();
      });
    },

    /** @throws ServiceError PathNotFound where there was none */
    async uploadStatus(): Promise<CeremonyStatus> {
      if ((await store.findUpload()) === undefined) throw nothingYet('upload');
      return 'Success';
    },
  };
}

function readNumbered(texts: DomainTexts, jwk: unknown, index: number): RsaCertificate {
  try {
    return texts.readCertificate(jwk);
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    throw new ServiceError(error.code, `Property certificates.${index}: ${error.message}`, {
      cause: error,
    });
  }
}
