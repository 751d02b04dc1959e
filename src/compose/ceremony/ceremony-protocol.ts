import type {
  BlobToOpen,
  ExportRequest,
  ImportedRootKeys,
  OpenedBlob,
  SealedExport,
} from '../../core/recovery/security-domain/ports.ts';
import type { TriedModule } from '../../hsm/capabilities/tried-module.ts';
import type { SerializedError } from '../../hsm/module/serialization.ts';
import type { ServiceSettings } from '../service/settings.ts';

/** What the process of a ceremony needs to open the HSM. */
export interface CeremonyPlace {
  readonly pkcs11: ServiceSettings['pkcs11'];
  readonly tried: TriedModule;
  readonly poolId: string;
  readonly rootGeneration: number;
}

/** Plain data. */
type SerializedExportRequest = Omit<ExportRequest, 'custodians'> & {
  /** DER of their certificates. */
  readonly custodians: readonly Uint8Array[];
};

/** What it is told, the next after each answer: over a channel between two processes of one user, as workers are told the PIN. */
export type ToCeremony =
  | { readonly kind: 'open'; readonly place: CeremonyPlace }
  | { readonly kind: 'export'; readonly request: SerializedExportRequest }
  | { readonly kind: 'blob'; readonly request: BlobToOpen }
  /** Root keys of the blob that is open. */
  | { readonly kind: 'import' }
  | { readonly kind: 'end' };

/** What it answers, once each. Nothing of a domain is ever on this channel in the clear. */
export type FromCeremony =
  | { readonly kind: 'open' }
  | { readonly kind: 'exported'; readonly exported: SealedExport }
  | { readonly kind: 'blob'; readonly opened: Pick<OpenedBlob, 'poolId' | 'generation'> }
  | { readonly kind: 'imported'; readonly imported: ImportedRootKeys }
  | { readonly kind: 'failed'; readonly error: SerializedError };
