import type { AuditedChange } from '../../audit/record.ts';
import { ServiceError } from '../../errors.ts';
import { eraseEntries } from './domain-entries.ts';
import type {
  CeremonyStatus,
  DomainTexts,
  Envelopes,
  RootKeyCeremony,
  SecurityDomainStore,
} from './ports.ts';
import { openRestoreBlob } from './restore-blob.ts';
import type { RsaCertificate } from './rsa-certificate.ts';
import type { RandomBytes } from './secret-sharing.ts';
import { requireCustodians, sealDomain } from './security-domain.ts';
import type { TransferKeys } from './transfer-keys.ts';

export interface SecurityDomainServiceParts {
  readonly ceremony: RootKeyCeremony;
  readonly store: SecurityDomainStore;
  readonly transferKeys: TransferKeys;
  readonly envelopes: Envelopes;
  readonly texts: DomainTexts;
  readonly randomBytes: RandomBytes;
}

export type SecurityDomainService = ReturnType<typeof createSecurityDomainService>;

/** The pool's security domain: given to custodians, and taken back from a quorum of them. Who may is decided before. */
export function createSecurityDomainService(parts: SecurityDomainServiceParts) {
  const { ceremony, store, transferKeys, envelopes, texts } = parts;

  async function statusOf(kind: 'download' | 'upload'): Promise<CeremonyStatus> {
    const found = await store.findCeremony(kind);
    if (found === undefined)
      throw new ServiceError('PathNotFound', `There was no ${kind} of a security domain.`);
    return kind === 'upload' ? 'Success' : ceremony.progress(found.generation);
  }

  return {
    /**
     * @param jwks of custodians' certificates
     * @returns the text that custodians keep
     * @throws ServiceError BadParameter, Conflict
     */
    async download(
      { certificates: jwks, required }: { certificates: readonly unknown[]; required: number },
      change: AuditedChange,
    ): Promise<string> {
      const custodians = jwks.map((jwk, index) => readNumbered(texts, jwk, index));
      // Before the HSM is asked, which may make a new generation for it.
      requireCustodians(custodians, required);
      const { generation, entries } = await ceremony.exportRootKeys();
      try {
        const domain = await sealDomain(parts, entries, custodians, required);
        const thumbprints = custodians.map(({ thumbprint }) => thumbprint);
        change.note({ change: { after: { generation, required, custodians: thumbprints } } });
        await store.recordDownload({ generation }, change);
        return texts.formatDomain(domain);
      } finally {
        eraseEntries(entries);
      }
    },

    /** @throws ServiceError PathNotFound where there was none */
    downloadStatus: () => statusOf('download'),

    /** As a JSON Web Key. The first to ask has it made. */
    transferKey: async (change: AuditedChange) =>
      texts.formatCertificate(await transferKeys.current(change)),

    /** @param text the restore blob. @throws ServiceError BadParameter, Conflict */
    async upload(text: string, change: AuditedChange): Promise<void> {
      const blob = texts.parseRestoreBlob(text);
      const transferKey = await transferKeys.required();
      const entries = await openRestoreBlob(envelopes, blob, transferKey);
      try {
        const { generation } = await ceremony.importRootKeys(entries);
        change.note({
          change: { after: { generation }, along: { transferKey: transferKey.thumbprint } },
        });
        await store.recordUpload({ generation }, change);
      } finally {
        eraseEntries(entries);
      }
    },

    /** @throws ServiceError PathNotFound where there was none */
    uploadStatus: () => statusOf('upload'),
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
