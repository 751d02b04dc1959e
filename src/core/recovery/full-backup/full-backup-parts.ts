import type { AuditedChange } from '../../audit/record.ts';
import type { Clock } from '../../clock.ts';
import type { HsmFeatures, RootSecrets } from '../../keys/hsm.ts';
import type { KeyArchive } from '../ports.ts';
import type { KeyRewrapper } from '../root-keys/root-key-hsm.ts';
import type { ImportedRootKeys } from '../security-domain/ports.ts';
import type { ArchiveFormat } from './archive.ts';
import type { AddedCheckpoint, FullBackupStore, InheritedLog, WrittenChain } from './pool-store.ts';

export interface FullBackupParts {
  readonly hsm: KeyRewrapper & RootSecrets & Pick<HsmFeatures, 'keeping'>;
  readonly store: FullBackupStore;
  readonly format: ArchiveFormat;
  readonly keys: Pick<KeyArchive, 'insertKey'>;
  readonly pool: { readonly id: string; readonly name: string };
  readonly clock: Clock;
  /** Random bytes. */
  readonly newBytes: (length: number) => Uint8Array;
  /** Of the time that the HSM works for a backup, how long others have it for themselves. */
  readonly pauseShare: number;
  /** Whether keys are being wrapped by new root keys. */
  readonly isRotating: () => Promise<boolean>;
  /** The pool whose security domain was uploaded into this one. */
  readonly findOtherPool: () => Promise<ImportedRootKeys | undefined>;
  /** Whether that pool could start here. @throws ServiceError Conflict */
  readonly requireStartable: (other: ImportedRootKeys) => Promise<void>;
  /** Ends the audit log that another pool brings, by its own keys. */
  readonly endInheritedLog: (
    log: InheritedLog,
    of: { readonly poolId: string; readonly madeAt: Date; readonly hasRecords: boolean },
  ) => Promise<readonly AddedCheckpoint[]>;
  /** Makes the record of something that changed no row durable. */
  readonly record: (change: AuditedChange) => Promise<void>;
  /** A restore is over: the chains that it has written are to be signed. */
  readonly onRestored: (written: readonly WrittenChain[]) => Promise<void>;
}

/** Keys at once in the HSM. */
export const KEYS_AT_ONCE = 4;
