import type { SecurityDomainStore } from '../../../core/recovery/security-domain/ports.ts';
import type { StoreContext } from '../../database.ts';
import { createDownloadStore } from './download-store.ts';
import { createTransferKeyStore } from './transfer-key-store.ts';
import { createUploadStore } from './upload-store.ts';

export function createSecurityDomainStore(context: StoreContext): SecurityDomainStore {
  return {
    ...createDownloadStore(context),
    ...createUploadStore(context),
    ...createTransferKeyStore(context),
  };
}
